package config

import (
	"fmt"
	"strings"
)

// Errors is everything that is wrong with a file, in the order of its lines.
type Errors struct {
	// Path is the file's, as it was given.
	Path string
	// List is never empty.
	List []*Error
}

// Error returns one line for each error: path:line: key: value: rule (hint).
func (e *Errors) Error() string {
	lines := make([]string, len(e.List))
	for i, one := range e.List {
		lines[i] = fmt.Sprintf("%s:%d: %s", e.Path, one.Line, one.text())
	}
	return strings.Join(lines, "\n")
}

// Error is one thing that is wrong with a file. No part of it holds a secret.
type Error struct {
	// Line counts from 1. For a key that is missing it is where its mapping begins.
	Line int
	// Key is the key's path, such as servers[0].port; empty for the whole file.
	Key string
	// Value is the value as written, strings quoted in Go's way and cut when long.
	// Empty where there is none, where it is no scalar, and where it may be a secret.
	Value string
	// Rule is what the value must be.
	Rule string
	// Hint is what to do about it, or empty.
	Hint string
}

// Error returns the error on one line, with the line's number but no path.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.text()) }

func (e *Error) text() string {
	var b strings.Builder
	for _, part := range []string{e.Key, e.Value} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(e.Rule)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}
