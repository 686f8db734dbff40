package schedule

import (
	"encoding/xml"
	"strings"
)

func renderLaunchd(j Job) ([]byte, error) { return fill("launchd.tmpl", j, nil) }

// escapeXML writes a text as XML character data. The text has passed checkText,
// so every character of it is one that XML may hold.
func escapeXML(s string) (string, error) {
	var b strings.Builder
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}
