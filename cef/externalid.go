package cef

import "dls/job/record"

// ExternalID returns what [Formatter.Append] writes as externalId of the record, as it
// stands in the line: the record's own id, or what stands in its place. text and
// child are as for Append.
func (m *Mapping) ExternalID(text []byte, child string) (string, error) {
	var found record.Found
	object, err := m.paths.Find(text, &found)
	if err != nil {
		return "", err
	}
	var w writer
	id := m.id.find(&found)
	if isEmpty(id) || !w.value(&inExtension, id, maxExternalID) {
		w.dst = appendHash(w.dst[:0], object, child)
	}
	return string(w.dst), nil
}
