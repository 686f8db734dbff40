package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"unicode"

	"dls/state/safefile"
)

// Secret is a text that does not print itself: formatted, marshalled or logged
// it is [secret]. The zero value is empty.
type Secret struct {
	// A pointer, because fmt prints the strings of unexported fields without
	// asking their type's methods.
	text *string
}

// NewSecret wraps a text.
func NewSecret(text string) Secret { return Secret{&text} }

const redacted = "[secret]"

// Reveal returns the text itself.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns [secret].
func (s Secret) String() string { return redacted }

// GoString returns [secret].
func (s Secret) GoString() string { return redacted }

// Format writes [secret], whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// MarshalText returns [secret], for JSON and others.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns "[secret]".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// LogValue returns [secret].
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// maxSecret is the most bytes of a file that holds a secret key.
const maxSecret = 4096

// secretKeys are the keys whose values no message shows.
var secretKeys = []string{"skey", "token"}

// secretKey reads the secret key from the one place that gives it, and tells the
// file when that is skey_filepath.
func (p *parser) secretKey(account *section) (key Secret, file string) {
	if account.absent {
		return Secret{}, ""
	}
	sources := &sources{
		section: account, what: "the secret key", key: "skey", fileKey: "skey_filepath",
		credential: "skey", variables: []string{"DLS_SKEY"}, origin: "copy it again from the Duo Admin Panel",
	}
	return sources.read()
}

// sources are where one secret may be given: a key of the file, a file that a key
// names, a credential of systemd's, a variable. Exactly one must give it.
type sources struct {
	*section
	what         string   // for messages
	key, fileKey string   // of the section
	credential   string   // the name of the file in $CREDENTIALS_DIRECTORY, or empty
	variables    []string // without their dollar signs
	origin       string   // where a good copy is, for messages
	word         bool     // the secret is of letters, digits and signs of ASCII, without blanks
}

// read returns the secret, and the file when that is the one of fileKey.
func (p *sources) read() (secret Secret, file string) {
	var given, possible []string
	possible = append(possible, p.at(p.key), p.at(p.fileKey))
	if v, ok := p.value(p.key); ok {
		given = append(given, p.at(p.key))
		p.holdsSecret = true
		p.secrets = append(p.secrets, v.node.Value)
	}
	if p.has(p.fileKey) {
		given = append(given, p.at(p.fileKey))
	}
	credential := ""
	if p.credential != "" {
		possible = append(possible, "$CREDENTIALS_DIRECTORY/"+p.credential)
		if dir := p.env.getenv("CREDENTIALS_DIRECTORY"); dir != "" {
			path := filepath.Join(dir, p.credential)
			if !noCredential(path) {
				credential = path
				given = append(given, "$CREDENTIALS_DIRECTORY/"+p.credential)
			}
		}
	}
	variable := ""
	for _, name := range p.variables {
		possible = append(possible, "$"+name)
		if text := p.env.getenv(name); text != "" {
			variable = text
			given = append(given, "$"+name)
		}
	}

	switch len(given) {
	case 0:
		p.fail(p.key, p.what+" is required", "give it by one of "+strings.Join(possible, ", "))
		return Secret{}, ""
	case 1:
	default:
		p.fail(p.key, p.what+" is given by "+strings.Join(given, " and by "), "keep one")
		return Secret{}, ""
	}

	switch {
	case p.has(p.key):
		if text, ok := p.text(p.key); ok {
			return p.checked(p.key, text), ""
		}
	case p.has(p.fileKey):
		if path, ok := p.filePath(p.fileKey); ok {
			return p.readFile(p.fileKey, path, "the file"), path
		}
	case credential != "":
		return p.readFile(p.key, credential, "$CREDENTIALS_DIRECTORY/"+p.credential), ""
	default:
		return p.checked(p.key, variable), ""
	}
	return Secret{}, ""
}

// readFile reads the secret from a file that the key of a name stands for.
func (p *sources) readFile(name, path, file string) Secret {
	data, shared, err := p.env.readFile(path, maxSecret)
	if err != nil {
		p.fail(name, file+" cannot be read: "+err.Error(), "")
		return Secret{}
	}
	if isUTF16(data) {
		p.fail(name, file+" is in UTF-16", "save it as UTF-8 or ASCII, in PowerShell with Set-Content -Encoding ascii")
		return Secret{}
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	if text == "" {
		p.fail(name, file+" is empty", "")
		return Secret{}
	}
	if shared && p.has(name) {
		p.warn(name, "the file can be read by other users; "+private())
	}
	return p.checked(name, text)
}

// isUTF16 tells whether a text that should be ASCII is in UTF-16, with or without
// a byte order mark.
func isUTF16(data []byte) bool {
	if len(data) < 2 {
		return false
	}
	mark := [2]byte(data)
	return mark == [2]byte{0xff, 0xfe} || mark == [2]byte{0xfe, 0xff} || (data[0] == 0) != (data[1] == 0)
}

// checked refuses what can only be a slip of copying.
func (p *sources) checked(name, text string) Secret {
	if text != strings.TrimSpace(text) || strings.ContainsFunc(text, unicode.IsControl) {
		p.fail(name, p.what+" has blanks around it or control characters in it", p.origin)
		return Secret{}
	}
	if inQuotes(text) {
		hint := hintQuotes
		if name != p.key || !p.has(name) {
			hint = "write it alone, without any quotes"
		}
		p.fail(name, p.what+" "+ruleQuotes, hint)
		return Secret{}
	}
	if p.word && strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		p.fail(name, p.what+" has a blank in it, or a letter that is not ASCII", "write it alone: no word such as Splunk stands before it; or "+p.origin)
		return Secret{}
	}
	return NewSecret(text)
}

// noCredential tells that a credential is not there, or is the empty stand-in that
// a unit gives (SetCredential=) where its file is not there.
func noCredential(path string) bool {
	text, _, err := safefile.Read(path, 1)
	return errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(text)) == ""
}
