package job_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"dls/job/duo"
)

// simDuo is Duo in memory, in the place of the network: it answers what Duo documents,
// as the scenario has drawn it.
type simDuo struct {
	sim *simulation
	who int // of two runs at once: 0 the first, 1 the second
}

// simRetention is how long Duo keeps records.
const simRetention = 180 * 24 * time.Hour

// now is Duo's time, in milliseconds since 1970.
func (d simDuo) now() int64 { return time.Now().Add(d.sim.plan.skew).UnixMilli() }

// from is Duo's time at a time of this machine's.
func (d simDuo) from(t time.Time) int64 { return t.Add(d.sim.plan.skew).UnixMilli() }

// RoundTrip implements [http.RoundTripper].
func (d simDuo) RoundTrip(req *http.Request) (*http.Response, error) {
	sim := d.sim
	if err := sim.step("call"); err != nil {
		return nil, err
	}
	values := req.URL.Query()
	s := sim.streamOf(req.URL, values)
	turn := sim.turn(s) // of the list of accounts, if s is nil
	sim.mu.Lock()
	turn.calls++
	call := turn.calls
	sim.mu.Unlock()
	dice := dicing(sim.seed, "call", sim.run, req.URL.Path, values.Get("account_id"), call)
	if call > maxCalls {
		sim.violate("%s: more than %d calls in one run", turn.name, maxCalls)
		return answer(http.StatusForbidden, `{"stat": "FAIL", "code": 40301, "message": "enough"}`), nil
	}
	if err := pause(req.Context(), dice.time(20*time.Millisecond, 800*time.Millisecond)); err != nil {
		return nil, err
	}
	if err := sim.step("answer"); err != nil {
		return nil, err
	}
	if sim.plan.skew.Abs() > 5*time.Minute {
		turn.failedCall(sim)
		return answer(http.StatusUnauthorized, `{"stat": "FAIL", "code": 40105, "message": "Bad request timestamp"}`), nil
	}
	if s != nil {
		if resp := s.refuse(d, turn); resp != nil {
			return resp, nil
		}
	}
	if dice.permille(sim.plan.duo) {
		turn.failedCall(sim)
		resp, err := d.fail(req.Context(), dice, turn)
		if err == nil {
			d.talk(resp, dicing(sim.seed, "talk", sim.run, req.URL.Path, values.Get("account_id"), call))
		}
		return resp, err
	}
	if s == nil {
		return answer(http.StatusOK, d.accounts(dice)), nil
	}
	status, body := s.answer(d, dice, values, turn, call)
	if status == http.StatusOK && dice.permille(sim.plan.duo/4) { // it does not arrive
		turn.failedCall(sim)
		resp := answer(status, body)
		if cut := body[:dice.IntN(len(body))]; dice.oneIn(2) {
			resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(cut)), int64(len(cut))
		} else {
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(cut), failing{}))
		}
		return resp, nil
	}
	return answer(status, body), nil
}

// maxCalls is how many calls a stream may make in a run: more than any needs.
const maxCalls = 3000

func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{}, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}
}

// failing is a connection that breaks.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

// pause waits for d unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fail is a call that brings no page.
func (d simDuo) fail(ctx context.Context, dice dice, turn *simTurn) (*http.Response, error) {
	if d.sim.plan.hard && dice.oneIn(6) {
		return answer(pick(dice, 400, 401, 403, 404), `{"stat": "FAIL", "code": 40002, "message": "Invalid request parameters"}`), nil
	}
	switch dice.IntN(7) {
	case 0:
		return nil, errors.New("connection refused")
	case 1:
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case 2:
		return answer(http.StatusOK, "<html>Please log in</html>"), nil
	case 3:
		return answer(http.StatusOK, `{"stat": "FAIL", "code": 50000, "message": "try again"}`), nil
	case 4:
		resp := answer(http.StatusTooManyRequests, `{"stat": "FAIL", "code": 42901, "message": "Too Many Requests"}`)
		if dice.oneIn(2) {
			resp.Header.Set("Retry-After", strconv.Itoa(dice.between(1, 100)))
		}
		return resp, nil
	}
	return answer(pick(dice, 500, 502, 503, 504, 408), `{"stat": "FAIL", "code": 50301, "message": "unavailable"}`), nil
}

// talk makes one in three failures one of many words, which say nothing more.
func (d simDuo) talk(resp *http.Response, dice dice) {
	body, err := io.ReadAll(resp.Body)
	if err == nil && dice.oneIn(3) {
		words := strings.Repeat("again ", dice.between(500, 20_000))
		body = bytes.Replace(body, []byte(`"message": "`), []byte(pick(dice, `"message": "`, `"message_detail": "`)+words), 1)
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
}

// refuse answers a call beyond the stream's limit.
func (s *simStream) refuse(d simDuo, turn *simTurn) *http.Response {
	if s.shape.limit == 0 {
		return nil
	}
	d.sim.mu.Lock()
	defer d.sim.mu.Unlock()
	now := time.Now()
	from := now.Add(-time.Minute)
	if s.shape.fixed {
		from = now.Truncate(time.Minute)
	}
	p := s.pace
	p.counted = slices.DeleteFunc(p.counted, func(t time.Time) bool { return !t.After(from) })
	over := len(p.counted) >= s.shape.limit
	if !over || s.shape.attempts {
		p.counted = append(p.counted, now)
	}
	if !over {
		return nil
	}
	turn.refused++
	if now.Before(turn.barred) && !d.sim.plan.doubled { // neither of two runs knows what the other was told
		d.sim.violation("%s calls again at %v, and Duo has said to wait until %v", s.name(), now, turn.barred)
	}
	d.sim.note("Duo refuses a call of %s, beyond %d a minute", s.name(), s.shape.limit)
	status := http.StatusTooManyRequests
	if s.shape.ok {
		status = http.StatusOK
	}
	resp := answer(status, `{"stat": "FAIL", "code": 42901, "message": "Too Many Requests"}`)
	if s.shape.after {
		resp.Header.Set("Retry-After", "60")
		turn.barred = now.Add(time.Minute)
	}
	return resp
}

// accounts is the list of child accounts.
func (d simDuo) accounts(dice dice) string {
	var entries []string
	seen := map[string]bool{}
	for _, s := range d.sim.streams {
		if !seen[s.account] {
			seen[s.account] = true
			entries = append(entries, fmt.Sprintf(`{"account_id": "%s", "api_hostname": "%s", "name": "child of %s"}`, s.account, s.host, s.account))
		}
	}
	if d.sim.plan.children {
		entries = append(entries, pick(dice, "null", `{"account_id": "a.b", "api_hostname": "api-x.duosecurity.com", "name": "dots"}`, `{"account_id": null}`, `{"name": "nobody"}`))
		dice.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
	}
	return `{"stat": "OK", "response": [` + strings.Join(entries, ", ") + "]}"
}

// streamOf finds the stream that a call is about; nil is the list of accounts.
func (sim *simulation) streamOf(u *url.URL, values url.Values) *simStream {
	for _, s := range sim.streams {
		if s.endpoint.Path == u.Path && s.account == values.Get("account_id") {
			if s.host != u.Host {
				sim.violate("%s is asked for on %s", s.name(), u.Host)
			}
			return s
		}
	}
	if u.Path != "/accounts/v1/account/list" {
		sim.violate("a call of %s, account %q, which nobody mapped", u.Path, values.Get("account_id"))
	}
	return nil
}

// query is what a call asks for.
type query struct {
	min, max int64
	limit    int
	cursor   string
}

// ask reads the parameters of a call; what Duo would refuse is wrong.
func (s *simStream) ask(v url.Values) (q query, wrong string) {
	number := func(name string, must bool) int64 {
		n, err := strconv.ParseInt(v.Get(name), 10, 64)
		if err != nil && (must || v.Get(name) != "") {
			wrong = "Invalid " + name
		}
		return n
	}
	unit := s.endpoint.AskUnit.Duration().Milliseconds()
	q = query{min: number("mintime", true) * unit, max: 1<<62 - 1, limit: s.endpoint.Limit, cursor: v.Get("next_offset") + v.Get("offset")}
	if s.endpoint.Cursor != duo.Mintime {
		q.max, q.limit = number("maxtime", true)*unit, int(number("limit", true))
		if q.max <= q.min {
			wrong = "maxtime is not after mintime"
		}
		if q.limit < 1 || q.limit > s.endpoint.Limit {
			wrong = "limit out of bounds"
		}
	}
	if s.endpoint.Cursor == duo.NextOffset && v.Get("sort") != "ts:asc" {
		wrong = "newest first"
	}
	return q, wrong
}

// answer answers a call.
func (s *simStream) answer(d simDuo, dice dice, v url.Values, turn *simTurn, call int) (status int, body string) {
	sim := d.sim
	sim.mu.Lock()
	defer sim.mu.Unlock()
	q, wrong := s.ask(v)
	if wrong != "" {
		sim.violation("%s: a call that Duo refuses: %s (%s)", s.name(), wrong, v.Encode())
		return http.StatusBadRequest, fmt.Sprintf(`{"stat": "FAIL", "code": 40002, "message": "Invalid request parameters", "message_detail": %q}`, wrong)
	}
	if _, known := turn.places[q.cursor]; s.endpoint.Cursor == duo.Offset && q.cursor != "" && !known {
		return http.StatusBadRequest, `{"stat": "FAIL", "code": 40002, "message": "Invalid request parameters", "message_detail": "offset"}`
	}
	if q.cursor == "" && q.min <= turn.asked || turn.asked == 0 {
		s.reading++
	}
	turn.asked = q.min
	oldest := d.now() - simRetention.Milliseconds()
	if q.min < oldest && sim.refuses {
		turn.tooOld = true
		sim.note("Duo refuses mintime %s of %s as too old", sim.clock(q.min), s.name())
		return http.StatusBadRequest, `{"stat": "FAIL", "code": 40002, "message": "Invalid request parameters", "message_detail": "mintime: must be within the last 180 days"}`
	}
	sim.judgeCircle(s, turn, q.cursor)
	trick := sim.plan.tricks[s]
	records, all := s.window(turn, d.who, q, oldest, d.now(), trick.swaps())
	most := q.limit
	if s.shape.cap > 0 {
		most = min(most, s.shape.cap)
	}
	if s.shape.varies {
		most = dice.between((most+1)/2, most)
	}
	if q.cursor == "" && (s.endpoint.Cursor != duo.Mintime || q.min <= turn.since) {
		turn.repeated = nil // the reading begins again
	}
	if trick != nil && call >= trick.from && trick.kind == "repeat" && turn.repeated != nil {
		records, most = turn.repeated, len(turn.repeated)
	}
	last := len(records) <= most
	page := records[:min(most, len(records))]
	if trick != nil && call < trick.from && len(page) > 0 || turn.repeated == nil {
		turn.repeated, turn.since = page, q.min
	}
	cursor := ""
	if len(page) > 0 {
		if cursor = s.cursor(turn, d.who, records, page, last); trick.swaps() {
			cursor = s.swapped(turn, d.who, trick, records[len(page):])
		}
		turn.blank = turn.blank || cursor == "" && len(page) >= q.limit // as if there were more
	}
	if trick != nil && call >= trick.from && !trick.swaps() {
		cursor = s.mislead(turn, trick, q, page, cursor, call)
	}
	meta := s.metadata(dice, cursor, all, len(page))
	if trick != nil && call >= trick.from && trick.kind == "blank" && dice.oneIn(2) {
		meta = pick(dice, `"metadata": null`, `"metadata": {}`, `"metadata": {"next_offset": {"after": 1}, "total_objects": 1}`, `"metadata": {"next_offset": ["x"]}`, `"metadata": []`, "")
		if s.endpoint.Cursor == duo.Offset {
			meta = pick(dice, `"metadata": null`, `"metadata": []`, "", `"metadata": {"next_offset": {"after": 1}}`) // {} is the end
		}
		turn.blank = true
	}
	if cursor != "" && cursor != "null" {
		turn.given = append(turn.given, cursor)
	}
	turn.answers++
	audits := sim.auditing(d.who)
	for _, r := range page {
		if !audits { // it looks at whole hours, and leaves the rest to the next run
			turn.shown[d.who][r] = true
		}
		r.shown = simShown{time.Now(), turn.answers, s.reading}
	}
	sim.note("Duo shows %d records of %s from %s, cursor %q, to %s: %s; %s", len(page), s.name(), sim.clock(q.min), q.cursor, sim.clock(q.max), sim.names(page), meta)
	if s.shape.mixed {
		page = slices.Clone(page)
		dice.Shuffle(len(page), func(i, j int) { page[i], page[j] = page[j], page[i] })
	}
	return http.StatusOK, s.body(page, meta)
}

// window returns the records that a call asks for, from its cursor on, and how many
// there are with those before the cursor.
func (s *simStream) window(turn *simTurn, who int, q query, oldest, now int64, swaps bool) (records []*simRecord, all int) {
	after, seen := turn.places[q.cursor]
	if q.cursor != "" && (s.endpoint.Cursor == duo.Offset || swaps) {
		return turn.snapshot[who][min(after.index, len(turn.snapshot[who])):], len(turn.snapshot[who])
	}
	if q.cursor != "" && !seen { // of another run: nobody sends one
		at, id, _ := strings.Cut(q.cursor, ",")
		after.at, _ = strconv.ParseInt(at, 10, 64)
		after.id = id
	}
	for _, r := range s.records {
		if r.at < q.min || r.at > q.max || r.at < oldest || r.visible > now || r.gone > 0 && r.gone <= now {
			continue
		}
		all++
		if q.cursor == "" || r.compare(after.at, after.id) > 0 {
			records = append(records, r)
		}
	}
	if s.endpoint.Cursor == duo.Offset {
		d := dicing(uint64(len(records)), s.name())
		d.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		turn.snapshot[who] = records
	}
	if swaps {
		n := s.least()
		for i := 0; i+n < len(records); i += 2 * n {
			end := min(i+2*n, len(records))
			copy(records[i:end], slices.Concat(records[i+n:end], records[i:i+n]))
		}
		turn.snapshot[who] = records
	}
	return records, all
}

// swapped is the cursor before the rest of the records, where pages are swapped.
func (s *simStream) swapped(turn *simTurn, who int, trick *simTrick, rest []*simRecord) string {
	if len(rest) == 0 && s.shape.lastNull {
		return ""
	}
	shown := turn.snapshot[who][:len(turn.snapshot[who])-len(rest)]
	at, left := int64(0), int64(1<<62)
	for _, r := range shown {
		at = max(at, r.at)
	}
	for _, r := range rest {
		if trick.kind == "ahead" && r.at < at {
			turn.passed[r] = true
		}
		left = min(left, r.at)
	}
	if trick.kind == "swapped" {
		at = min(at, left)
	}
	text := fmt.Sprintf("%d,s%d", at, len(shown))
	turn.places[text] = place{index: len(shown)}
	return text
}

// place is where a cursor leads.
type place struct {
	at    int64
	id    string
	index int
}

// cursor is the cursor behind a page.
func (s *simStream) cursor(turn *simTurn, who int, records, page []*simRecord, last bool) string {
	switch s.endpoint.Cursor {
	case duo.Mintime:
		return ""
	case duo.Offset:
		if last {
			return ""
		}
		at := len(turn.snapshot[who]) - len(records) + len(page)
		text := strconv.Itoa(1000 + 500_000*who + at)
		turn.places[text] = place{index: at}
		return text
	}
	if last && s.shape.lastNull {
		return ""
	}
	r := page[len(page)-1]
	text := fmt.Sprintf("%d,%s", r.at, r.id)
	turn.places[text] = place{at: r.at, id: r.id}
	return text
}

// mislead returns another cursor in the place of the right one.
func (s *simStream) mislead(turn *simTurn, trick *simTrick, q query, page []*simRecord, cursor string, call int) string {
	turn.tricked = true
	switch trick.kind {
	case "circle":
		if len(turn.given) > 0 {
			return turn.given[0]
		}
	case "turns":
		switch at, led := turn.places[q.cursor]; {
		case !led:
			return cursor
		case strings.HasSuffix(q.cursor, "9009"):
			return turn.given[0]
		default:
			text := turn.given[0] + "9009" // another one, that leads to where the page's own does
			turn.places[text] = at
			return text
		}
	case "same":
		if q.cursor != "" {
			return q.cursor
		}
	case "repeat", "back", "outside":
		if len(page) == 0 || s.endpoint.Cursor == duo.Mintime {
			return cursor
		}
		if s.endpoint.Cursor == duo.Offset {
			text := strconv.Itoa(100_000 + call)
			turn.places[text] = turn.places[cursor]
			return text
		}
		at := page[len(page)-1].at
		switch trick.kind {
		case "back":
			at = page[0].at - 1
		case "outside":
			if cursor == "" {
				return cursor
			}
			at = pick(dicing(uint64(call), s.name()), q.min-1, q.max+1, 0, q.max+1_000_000)
		}
		text := fmt.Sprintf("%d,x%d", at, call)
		turn.places[text] = place{at: page[len(page)-1].at, id: page[len(page)-1].id}
		return text
	}
	return cursor
}

// metadata is the member metadata of an answer.
func (s *simStream) metadata(dice dice, cursor string, all, shown int) string {
	total := ""
	switch s.shape.total {
	case "right":
		total = fmt.Sprintf(`, "total_objects": %d`, all)
	case "page":
		total = fmt.Sprintf(`, "total_objects": %d`, shown)
	case "zero":
		total = `, "total_objects": 0`
	case "null":
		total = `, "total_objects": null`
	case "object":
		total = fmt.Sprintf(`, "total_objects": {"relation": "eq", "value": %d}`, all)
	case "text":
		total = fmt.Sprintf(`, "total_objects": "%d"`, all)
	}
	next := "null"
	if at, id, pair := strings.Cut(cursor, ","); pair && s.shape.array {
		next = fmt.Sprintf(`["%s", "%s"]`, at, id)
	} else if cursor != "" {
		next = fmt.Sprintf(`"%s"`, cursor)
	} else if s.shape.total == "absent" {
		return `"metadata": {}`
	}
	return fmt.Sprintf(`"metadata": {"next_offset": %s%s}`, next, total)
}

// body is the body of an answer.
func (s *simStream) body(page []*simRecord, meta string) string {
	var b bytes.Buffer
	b.WriteString(`{"stat": "OK", "response": `)
	if s.endpoint.Records != "" {
		fmt.Fprintf(&b, `{"%s": `, s.endpoint.Records)
	}
	b.WriteByte('[')
	for i, r := range page {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(r.raw)
	}
	b.WriteByte(']')
	if s.endpoint.Records != "" {
		if s.shape.compact {
			meta = strings.NewReplacer(`": `, `":`, `", "`, `","`).Replace(meta)
		}
		if meta != "" {
			b.WriteString(", " + meta)
		}
		b.WriteByte('}')
	}
	b.WriteByte('}')
	return b.String()
}
