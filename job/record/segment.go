package record

// readSegment reads and writes the segment at i, which follows p, byte by byte and
// returns it.
func (w *Writer) readSegment(dst, src []byte, i int, p *template) ([]byte, int, *template, error) {
	if p != &w.unknown {
		w.closing = append(w.closing[:0], p.closing...)
		w.field, w.replaced, w.replacement = p.field, p.replaced, -1
	}
	g := segment{ends: -1, begins: -1}
	start, line := i, len(dst)
	keep := w.replacement < 0
	first := p == &w.start // nothing was written since the last opening bracket
read:
	for {
		// What ends here, and all that it ends.
		var c byte
		for {
			if len(w.closing) == 1 && !first {
				if w.field >= 0 {
					w.Values[w.field] = src[w.from:i]
					g.ends = i - start
					keep = keep && w.from < start // else it began in this segment, too
					w.field = -1
				}
				if w.replacement >= 0 {
					dst = append(dst[:w.into], w.extra[w.replacement].value...)
					w.replacement = -1
				}
			}
			if i = space(src, i); i >= len(src) {
				return dst, i, nil, errCut
			}
			if c = src[i]; c != w.closing[len(w.closing)-1] {
				break
			}
			i++
			if len(w.closing) == 1 {
				dst = append(w.appendExtra(dst, first), '}', '\n')
				g.last = true
				break read
			}
			dst = append(dst, c)
			w.closing = w.closing[:len(w.closing)-1]
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
		if w.closing[len(w.closing)-1] == '}' {
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
		if len(w.closing) == maxDepth {
			return dst, i, nil, errAt(i)
		}
		w.closing = append(w.closing, c+2) // the closing brackets are two further on in ASCII
		dst = append(dst, c)
		first = true
		i++
	}
	if !keep || w.replacement >= 0 || i-start > maxSegment || len(w.closing) > maxClosing {
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
	if len(w.closing) == 1 {
		for k, name := range w.Names {
			if string(src[start+1:i-1]) == name {
				w.field = k
			}
		}
		for k := range w.extra {
			if string(dst[key:]) == string(w.extra[k].key) {
				w.replacement = k
				w.replaced |= 1 << k
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
	if len(w.closing) == 1 {
		w.from, w.into = i, len(dst)
	}
	return dst, i, nil
}

// appendExtra appends the extra members that took no other's place.
func (w *Writer) appendExtra(dst []byte, first bool) []byte {
	for k, extra := range w.extra {
		if w.replaced&(1<<k) == 0 {
			if !first {
				dst = append(dst, ',', ' ')
			}
			first = false
			dst = append(append(append(dst, extra.key...), ':', ' '), extra.value...)
		}
	}
	return dst
}
