package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// signer signs with an OpenPGP key.
type signer struct {
	path   string
	entity *openpgp.Entity
}

// signerFromEnv returns the signer of $DLS_SIGNING_KEY, the file of an armoured
// private key, or nil. $DLS_SIGNING_PASSPHRASE opens the key if it is locked.
func signerFromEnv() (*signer, error) {
	path := os.Getenv("DLS_SIGNING_KEY")
	if path == "" {
		return nil, nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("$DLS_SIGNING_KEY: %w", err)
	}
	defer f.Close()
	keys, err := openpgp.ReadArmoredKeyRing(f)
	if err != nil {
		return nil, fmt.Errorf("$DLS_SIGNING_KEY: %q: %w", path, err)
	}
	if len(keys) != 1 || keys[0].PrivateKey == nil {
		return nil, fmt.Errorf("$DLS_SIGNING_KEY: %q: want one private key", path)
	}
	if keys[0].PrivateKey.Encrypted {
		if err := keys[0].DecryptPrivateKeys([]byte(os.Getenv("DLS_SIGNING_PASSPHRASE"))); err != nil {
			return nil, errors.New("$DLS_SIGNING_PASSPHRASE does not open $DLS_SIGNING_KEY")
		}
	}
	return &signer{path, keys[0]}, nil
}

// checksums writes SHA256SUMS and, if there is a key, its signature
// SHA256SUMS.asc. It prints what the release has.
func (r *release) checksums() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), e.Name())
		fmt.Printf("%9d  %s\n", len(data), e.Name())
	}
	if err := os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), sums.Bytes(), 0o644); err != nil {
		return err
	}
	if r.signer == nil {
		return nil
	}
	var signature bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&signature, r.signer.entity, &sums, nil); err != nil {
		return fmt.Errorf("sign SHA256SUMS: %w", err)
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS.asc"), signature.Bytes(), 0o644)
}
