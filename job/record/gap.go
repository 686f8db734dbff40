package record

// readGap reads and writes the gap at i, which follows p, byte by byte and
// returns it.
func (w *Writer) readGap(dst, src []byte, i int, p *passage) ([]byte, int, *passage, error) {
	if p != &w.unknown {
		w.due = append(w.due[:0], p.due...)
		w.field, w.placed, w.instead = p.field, p.placed, -1
	}
	g := gap{ends: -1, begins: -1}
	start, line := i, len(dst)
	keep := w.instead < 0
	first := p == &w.start // nothing was written since the last opening bracket
gap:
	for {
		// What ends here, and all that it ends.
		var c byte
		for {
			if len(w.due) == 1 && !first {
				if w.field >= 0 {
					w.Values[w.field] = src[w.from:i]
					g.ends = i - start
					keep = keep && w.from < start // else it began in this gap, too
					w.field = -1
				}
				if w.instead >= 0 {
					dst = append(dst[:w.into], w.extra[w.instead].value...)
					w.instead = -1
				}
			}
			if i = space(src, i); i >= len(src) {
				return dst, i, nil, errCut
			}
			if c = src[i]; c != w.due[len(w.due)-1] {
				break
			}
			i++
			if len(w.due) == 1 {
				dst = append(w.appendExtra(dst, first), '}', '\n')
				g.last = true
				break gap
			}
			dst = append(dst, c)
			w.due = w.due[:len(w.due)-1]
			first = false
		}
		if !first {
			if c != ',' {
				return dst, i, nil, errAt(i)
			}
			dst = append(dst, ',', ' ')
			i = space(src, i+1)
		}
		var err error
		if w.due[len(w.due)-1] == '}' {
			if dst, i, err = w.key(dst, src, i); err != nil {
				return dst, i, nil, err
			}
			if w.field >= 0 && w.from == i {
				g.begins = i - start
			}
		}
		if i >= len(src) {
			return dst, i, nil, errCut
		}
		if c = src[i]; c != '{' && c != '[' {
			break
		}
		if len(w.due) == maxDepth {
			return dst, i, nil, errAt(i)
		}
		w.due = append(w.due, c+2) // the closing brackets are two further on in ASCII
		dst = append(dst, c)
		first = true
		i++
	}
	if !keep || w.instead >= 0 || i-start > maxGap || len(w.due) > maxDue {
		return dst, i, w.forget(g), nil
	}
	return dst, i, w.learn(p, g, src[start:i], dst[line:]), nil
}

// key reads and writes the key at i, and what follows it until its value.
func (w *Writer) key(dst, src []byte, i int) ([]byte, int, error) {
	if i >= len(src) {
		return dst, i, errCut
	}
	if src[i] != '"' {
		return dst, i, errAt(i)
	}
	key, start := len(dst), i
	dst, i, err := appendString(dst, src, i)
	if err != nil {
		return dst, i, err
	}
	if len(w.due) == 1 {
		for k, name := range w.Names {
			if string(src[start+1:i-1]) == name {
				w.field = k
			}
		}
		for k := range w.extra {
			if string(dst[key:]) == string(w.extra[k].key) {
				w.instead = k
				w.placed |= 1 << k
			}
		}
	}
	if i = space(src, i); i >= len(src) {
		return dst, i, errCut
	}
	if src[i] != ':' {
		return dst, i, errAt(i)
	}
	dst = append(dst, ':', ' ')
	i = space(src, i+1)
	if len(w.due) == 1 {
		w.from, w.into = i, len(dst)
	}
	return dst, i, nil
}

// appendExtra appends the extra members that took no other's place.
func (w *Writer) appendExtra(dst []byte, first bool) []byte {
	for k, extra := range w.extra {
		if w.placed&(1<<k) == 0 {
			if !first {
				dst = append(dst, ',', ' ')
			}
			first = false
			dst = append(append(append(dst, extra.key...), ':', ' '), extra.value...)
		}
	}
	return dst
}
