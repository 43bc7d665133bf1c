// Package keyring encrypts small values at rest: AES-256-GCM under the first of
// several keys, decryption under any of them, so that keys can be changed while
// values written under the old one are still there.
//
// Keys never leave the process. (pgcrypto would send them to the server, where logs
// and pg_stat_activity show them.)
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// A sealed value is: format (1 byte), key id (8), nonce (12), ciphertext and tag
// (16 more than the plaintext). Everything before the ciphertext is authenticated
// with it.
const (
	format     = 1
	idSize     = 8
	headerSize = 1 + idSize
	nonceSize  = 12
	tagSize    = 16
	keySize    = 32

	// Overhead is how many bytes a sealed value is longer than its plaintext.
	Overhead = headerSize + nonceSize + tagSize
)

var (
	// ErrKey means that no key of the ring is the one the value was sealed with.
	ErrKey = errors.New("none of the keys is the one it was encrypted with")
	// ErrSealed means that the value was changed, cut off, or moved here from where
	// it was written.
	ErrSealed = errors.New("it was changed, or belongs to something else")
)

// Ring is an ordered set of keys. It prints as nothing. Safe for concurrent use.
type Ring struct{ keys []key }

type key struct {
	id   [idSize]byte
	aead cipher.AEAD
}

// Parse reads keys: comma-separated, 32 bytes each as hex or base64, the one to
// encrypt with first. Its error names keys by their position only.
func Parse(s string) (*Ring, error) {
	r := &Ring{}
	seen := map[[idSize]byte]int{}
	for i, text := range strings.Split(s, ",") {
		raw := decode(strings.TrimSpace(text))
		if raw == nil {
			return nil, fmt.Errorf("key %d is not 32 bytes as hex or base64: make one with: openssl rand -hex 32", i+1)
		}
		k, err := newKey(raw)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		if first, ok := seen[k.id]; ok {
			return nil, fmt.Errorf("keys %d and %d are the same: remove one", first, i+1)
		}
		seen[k.id] = i + 1
		r.keys = append(r.keys, k)
	}
	return r, nil
}

// Generate returns a new key in the form that Parse reads.
func Generate() string {
	b := make([]byte, keySize)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func decode(s string) []byte {
	for _, try := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if b, err := try(s); err == nil && len(b) == keySize {
			return b
		}
	}
	return nil
}

func newKey(raw []byte) (k key, err error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return k, err
	}
	k.aead, err = cipher.NewGCM(block)
	sum := sha256.Sum256(append([]byte("runnel key id\x00"), raw...))
	copy(k.id[:], sum[:])
	return k, err
}

// Seal encrypts with the first key. The value can be opened only with the same
// context: whose it is and what it is called, so that rows cannot be swapped.
func (r *Ring) Seal(plaintext []byte, context ...string) []byte {
	k := r.keys[0]
	sealed := make([]byte, headerSize+nonceSize, Overhead+len(plaintext))
	sealed[0] = format
	copy(sealed[1:], k.id[:])
	// Random nonces are good for 2^32 values under one key.
	_, _ = rand.Read(sealed[headerSize:]) // never fails
	return k.aead.Seal(sealed, sealed[headerSize:], plaintext, bind(sealed[:headerSize], context))
}

// Open decrypts. The error is ErrKey or ErrSealed.
func (r *Ring) Open(sealed []byte, context ...string) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != format {
		return nil, ErrSealed
	}
	for _, k := range r.keys {
		if string(sealed[1:headerSize]) != string(k.id[:]) {
			continue
		}
		nonce, body := sealed[headerSize:headerSize+nonceSize], sealed[headerSize+nonceSize:]
		plaintext, err := k.aead.Open(nil, nonce, body, bind(sealed[:headerSize], context))
		if err != nil {
			return nil, ErrSealed
		}
		return plaintext, nil
	}
	return nil, ErrKey
}

// Current tells whether a value was sealed with the first key.
func (r *Ring) Current(sealed []byte) bool {
	return len(sealed) >= Overhead && sealed[0] == format && string(sealed[1:headerSize]) == string(r.keys[0].id[:])
}

// bind is the additional data: the header, and each part of the context with its
// length, so that no two contexts have the same bytes.
func bind(header []byte, context []string) []byte {
	b := append([]byte("runnel sealed value"), header...)
	for _, part := range context {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

// String implements fmt.Stringer, so that no log shows a key.
func (r *Ring) String() string { return fmt.Sprintf("%d keys", len(r.keys)) }

// GoString implements fmt.GoStringer.
func (r *Ring) GoString() string { return r.String() }
