package duosim

// serveAccountList answers the Accounts API's list of child accounts: all of
// them at once, in the order in which they were added.
func (s *Server) serveAccountList(r *request) (*answer, *failure) {
	if !r.account.MSP {
		return nil, errForbidden
	}
	type child struct {
		ID   string `json:"account_id"`
		Host string `json:"api_hostname"`
		Name string `json:"name"`
	}
	children := []child{}
	s.mu.Lock()
	for _, a := range s.order {
		if a.Parent == r.account.ID {
			children = append(children, child{a.ID, a.Host, a.Name})
		}
	}
	s.mu.Unlock()
	a := s.success(children)
	a.records = len(children)
	return a, nil
}
