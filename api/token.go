package api

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

const (
	maxToken = 8 << 10 // bytes
	maxKeyID = 256
	minRSA   = 2048 // bits
)

// checkToken looks at a token before its signature: its size, and that nothing in
// it has two meanings. A claim that is there twice is one thing to us and maybe
// another to whoever reads the claims later.
func checkToken(token string) error {
	if len(token) > maxToken {
		return fmt.Errorf("it is larger than %d KB", maxToken>>10)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("it does not have three parts")
	}
	for _, part := range parts[:2] {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return errors.New("it is not base64url")
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		if err := checkUnique(dec, 0); err != nil {
			return err
		}
	}
	return nil
}

// checkUnique reads one JSON value and refuses objects that have a key twice.
func checkUnique(dec *json.Decoder, depth int) error {
	if depth > 32 {
		return errors.New("its claims are nested too deeply")
	}
	t, err := dec.Token()
	if err != nil {
		return errors.New("it is not JSON")
	}
	open, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			t, err := dec.Token()
			key, ok := t.(string)
			if err != nil || !ok {
				return errors.New("it is not JSON")
			}
			if seen[key] {
				return fmt.Errorf("it has %.40q twice", key)
			}
			seen[key] = true
		}
		if err := checkUnique(dec, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return errors.New("it is not JSON")
	}
	return nil
}

// checkHeader refuses what would have to change how the token is verified: RFC 7515
// asks for that with crit, whatever it lists.
func checkHeader(header map[string]any) error {
	if _, ok := header["crit"]; ok {
		return errors.New("its header has crit, and no extension is known here")
	}
	return nil
}

// publicKey returns a key of the key set if it is of the kind the algorithm needs.
// The token names the algorithm and the key id; the key decides what it is for.
func publicKey(token *jwt.Token, find jwt.Keyfunc) (any, error) {
	id, ok := token.Header["kid"].(string)
	if !ok || id == "" || len(id) > maxKeyID {
		return nil, errors.New("its header has no kid, which tells the key")
	}
	key, err := find(token)
	if err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		ok = token.Method == jwt.SigningMethodRS256 && k.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		ok = token.Method == jwt.SigningMethodES256 && k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		ok = token.Method == jwt.SigningMethodEdDSA
	default: // a symmetric key in a public set is nobody's
		ok = false
	}
	if !ok {
		return nil, errors.New("its key is not for this algorithm")
	}
	return key, nil
}
