package config

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"unicode"
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

// Equal tells whether two secrets are the same text, in constant time.
func (s Secret) Equal(t Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
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

// secretKey reads the secret key from the one place that gives it, and tells the
// file when that is skey_filepath.
func (p *parser) secretKey(account *section) (key Secret, file string) {
	if account.absent {
		return Secret{}, ""
	}
	var given []string
	if account.has("skey") {
		given = append(given, "account.skey")
		p.holdsSecret = true
		p.secrets = append(p.secrets, account.values["skey"].node.Value)
	}
	if account.has("skey_filepath") {
		given = append(given, "account.skey_filepath")
	}
	credential := ""
	if dir := p.env.getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		path := filepath.Join(dir, "skey")
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			credential = path
			given = append(given, "$CREDENTIALS_DIRECTORY/skey")
		}
	}
	variable := p.env.getenv("DLS_SKEY")
	if variable != "" {
		given = append(given, "$DLS_SKEY")
	}

	switch len(given) {
	case 0:
		account.fail("skey", "the secret key is required", "give it by one of account.skey, account.skey_filepath, $CREDENTIALS_DIRECTORY/skey, $DLS_SKEY")
		return Secret{}, ""
	case 1:
	default:
		account.fail("skey", "the secret key is given by "+strings.Join(given, " and by "), "keep one")
		return Secret{}, ""
	}

	switch {
	case account.has("skey"):
		if text, ok := account.text("skey"); ok {
			return account.checkedSecret("skey", text), ""
		}
	case account.has("skey_filepath"):
		if path, ok := account.text("skey_filepath"); ok {
			return account.secretFile("skey_filepath", path), path
		}
	case credential != "":
		return account.secretFile("skey", credential), ""
	default:
		return account.checkedSecret("skey", variable), ""
	}
	return Secret{}, ""
}

// secretFile reads a secret key from a file that the key of a name stands for.
func (s *section) secretFile(name, path string) Secret {
	what := "the file"
	if !s.has(name) {
		what = "$CREDENTIALS_DIRECTORY/skey"
	}
	data, shared, err := s.env.readFile(path, maxSecret)
	if err != nil {
		s.fail(name, what+" cannot be read: "+err.Error(), "")
		return Secret{}
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		s.fail(name, what+" is empty", "")
		return Secret{}
	}
	if shared && s.has(name) {
		s.warn(name, "the file can be read by other users; chmod 600 it")
	}
	return s.checkedSecret(name, text)
}

// checkedSecret refuses what can only be a slip of copying.
func (s *section) checkedSecret(name, text string) Secret {
	if text != strings.TrimSpace(text) || strings.ContainsFunc(text, unicode.IsControl) {
		s.fail(name, "the secret key has blanks around it or control characters in it", "copy it again from the Duo Admin Panel")
		return Secret{}
	}
	return NewSecret(text)
}
