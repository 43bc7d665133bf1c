package prelude

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/json"
	"hash"
	"math/big"
	"strconv"
)

// Bounds of what a guest may ask for. They keep every operation to some 700 ms at
// worst (PBKDF2 with SHA-512; OWASP asks for 600,000 iterations of SHA-256), because
// nothing interrupts one: a timeout is seen when it is over.
const (
	maxRandom     = 65536    // bytes; the standard's
	maxIterations = 600_000  // of PBKDF2, for each block of its output
	maxDerived    = 1 << 13  // bits
	maxKey        = 16 << 10 // bytes of a key of a pair
	maxModulus    = 4096     // bits of an RSA key
)

func init() {
	register("random", operation{args: 1, run: random})
	register("random_text", operation{args: 1, text: true, run: randomText})
	register("digest", operation{args: 2, run: digest})
	register("sign", operation{args: 3, run: sign})
	register("verify", operation{args: 4, run: verify})
	register("encrypt", operation{args: 3, run: encrypt})
	register("decrypt", operation{args: 3, run: decrypt})
	register("derive", operation{args: 3, run: derive})
}

func count(arg []byte, most int) (int, error) {
	n, err := strconv.Atoi(string(arg))
	if err != nil || n < 0 || n > most {
		return 0, fail("QuotaExceededError", "at most %d bytes can be made at a time", most)
	}
	return n, nil
}

// random(n) returns n random bytes.
func random(args [][]byte) ([]byte, error) {
	n, err := count(args[0], maxRandom)
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b, nil
}

// randomText(n) returns n random letters and digits.
func randomText(args [][]byte) ([]byte, error) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789AB" // 64, so that no digit of it is likelier by more than 1/32
	b, err := random(args)
	for i := range b {
		b[i] = alphabet[b[i]&63]
	}
	return b, err
}

func newHash(name string) (func() hash.Hash, crypto.Hash, error) {
	switch name {
	case "SHA-1":
		return sha1.New, crypto.SHA1, nil
	case "SHA-256":
		return sha256.New, crypto.SHA256, nil
	case "SHA-384":
		return sha512.New384, crypto.SHA384, nil
	case "SHA-512":
		return sha512.New, crypto.SHA512, nil
	}
	return nil, 0, fail("NotSupportedError", "the hash %.20q is not supported", name)
}

func sum(name string, data []byte) ([]byte, crypto.Hash, error) {
	h, id, err := newHash(name)
	if err != nil {
		return nil, 0, err
	}
	w := h()
	w.Write(data)
	return w.Sum(nil), id, nil
}

// digest(hash, data)
func digest(args [][]byte) ([]byte, error) {
	b, _, err := sum(string(args[0]), args[1])
	return b, err
}

// parameters are those of an algorithm, as crypto.js sends them.
type parameters struct {
	Name  string `json:"name"`
	Hash  string `json:"hash"`
	Curve string `json:"curve"`
	Type  string `json:"type"` // of a key: secret, public or private
	Bits  int    `json:"bits"`

	IV      []byte `json:"iv"`
	AAD     []byte `json:"aad"`
	Tag     int    `json:"tag"`     // bits
	Counter int    `json:"counter"` // bits of the block that count
	Label   []byte `json:"label"`

	Salt       json.RawMessage `json:"salt"` // RSA-PSS: its length; else base64
	Info       []byte          `json:"info"`
	Iterations int             `json:"iterations"`
}

func parametersOf(arg []byte) (p parameters, err error) {
	if json.Unmarshal(arg, &p) != nil {
		return p, fail("TypeError", "the parameters of the algorithm are not valid")
	}
	return p, nil
}

// sign(parameters, key, data)
func sign(args [][]byte) ([]byte, error) {
	p, err := parametersOf(args[0])
	if err != nil {
		return nil, err
	}
	if p.Name == "HMAC" {
		h, _, err := newHash(p.Hash)
		if err != nil {
			return nil, err
		}
		mac := hmac.New(h, args[1])
		mac.Write(args[2])
		return mac.Sum(nil), nil
	}
	key, err := privateKey(args[1])
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case ed25519.PrivateKey:
		if p.Name == "Ed25519" {
			return ed25519.Sign(key, args[2]), nil
		}
	case *ecdsa.PrivateKey:
		if p.Name == "ECDSA" {
			digest, _, err := sum(p.Hash, args[2])
			if err != nil {
				return nil, err
			}
			r, s, err := ecdsa.Sign(rand.Reader, key, digest)
			if err != nil {
				return nil, fail("OperationError", "signing failed")
			}
			size := (key.Curve.Params().BitSize + 7) / 8
			out := make([]byte, 2*size)
			r.FillBytes(out[:size])
			s.FillBytes(out[size:])
			return out, nil
		}
	case *rsa.PrivateKey:
		digest, id, err := sum(p.Hash, args[2])
		if err != nil {
			return nil, err
		}
		var out []byte
		switch p.Name {
		case "RSASSA-PKCS1-v1_5":
			out, err = rsa.SignPKCS1v15(nil, key, id, digest)
		case "RSA-PSS":
			var options *rsa.PSSOptions
			if options, err = pssOptions(p, id); err == nil {
				out, err = rsa.SignPSS(rand.Reader, key, id, digest, options)
			}
		default:
			return nil, wrongKey(p)
		}
		if err != nil {
			return nil, fail("OperationError", "signing failed: the key may be too short for the hash")
		}
		return out, nil
	}
	return nil, wrongKey(p)
}

func wrongKey(p parameters) error {
	return fail("InvalidAccessError", "the key is not one for %.40s", p.Name)
}

func pssOptions(p parameters, id crypto.Hash) (*rsa.PSSOptions, error) {
	var length int
	if json.Unmarshal(p.Salt, &length) != nil || length < 0 || length > maxModulus/8 {
		return nil, fail("OperationError", "saltLength of RSA-PSS must be a number of bytes")
	}
	if length == 0 {
		length = -2 // 0 means "automatic" to Go, which no WebCrypto caller asks for
	}
	return &rsa.PSSOptions{SaltLength: length, Hash: id}, nil
}

// verify(parameters, key, signature, data) returns one byte: 1 when it is right.
func verify(args [][]byte) ([]byte, error) {
	p, err := parametersOf(args[0])
	if err != nil {
		return nil, err
	}
	signature, data := args[2], args[3]
	answer := func(ok bool) ([]byte, error) {
		if ok {
			return []byte{1}, nil
		}
		return []byte{0}, nil
	}
	if p.Name == "HMAC" {
		want, err := sign([][]byte{args[0], args[1], data})
		if err != nil {
			return nil, err
		}
		return answer(subtle.ConstantTimeCompare(want, signature) == 1)
	}
	key, err := publicKey(args[1])
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case ed25519.PublicKey:
		if p.Name == "Ed25519" {
			return answer(ed25519.Verify(key, data, signature))
		}
	case *ecdsa.PublicKey:
		if p.Name == "ECDSA" {
			digest, _, err := sum(p.Hash, data)
			if err != nil {
				return nil, err
			}
			size := (key.Curve.Params().BitSize + 7) / 8
			if len(signature) != 2*size {
				return answer(false)
			}
			r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
			return answer(ecdsa.Verify(key, digest, r, s))
		}
	case *rsa.PublicKey:
		digest, id, err := sum(p.Hash, data)
		if err != nil {
			return nil, err
		}
		switch p.Name {
		case "RSASSA-PKCS1-v1_5":
			return answer(rsa.VerifyPKCS1v15(key, id, digest, signature) == nil)
		case "RSA-PSS":
			options, err := pssOptions(p, id)
			if err != nil {
				return nil, err
			}
			return answer(rsa.VerifyPSS(key, id, digest, signature, options) == nil)
		}
	}
	return nil, wrongKey(p)
}

// encrypt(parameters, key, data)
func encrypt(args [][]byte) ([]byte, error) { return crypt(args, true) }

// decrypt(parameters, key, data)
func decrypt(args [][]byte) ([]byte, error) { return crypt(args, false) }

func crypt(args [][]byte, forward bool) ([]byte, error) {
	p, err := parametersOf(args[0])
	if err != nil {
		return nil, err
	}
	if p.Name == "RSA-OAEP" {
		return oaep(p, args[1], args[2], forward)
	}
	block, err := aes.NewCipher(args[1])
	if err != nil {
		return nil, fail("OperationError", "an AES key has 128, 192 or 256 bits")
	}
	switch p.Name {
	case "AES-GCM":
		return gcm(block, p, args[2], forward)
	case "AES-CBC":
		return cbc(block, p, args[2], forward)
	case "AES-CTR":
		if len(p.IV) != aes.BlockSize || p.Counter < 1 || p.Counter > 128 {
			return nil, fail("OperationError", "AES-CTR takes a counter of 16 bytes and a length from 1 to 128")
		}
		if p.Counter < 64 && uint64(len(args[2])+15)/16 > 1<<p.Counter {
			return nil, fail("OperationError", "the data is longer than the counter can count")
		}
		return ctr(block, p, args[2]), nil
	}
	return nil, fail("NotSupportedError", "the algorithm %.40q does not encrypt", p.Name)
}

func gcm(block cipher.Block, p parameters, data []byte, forward bool) ([]byte, error) {
	var aead cipher.AEAD
	var err error
	switch {
	case len(p.IV) == 0 || len(p.IV) > 1<<16:
		return nil, fail("OperationError", "AES-GCM takes an iv, best one of 12 bytes")
	case p.Tag != 128 && len(p.IV) != 12:
		return nil, fail("NotSupportedError", "AES-GCM with a tagLength other than 128 takes an iv of 12 bytes")
	case p.Tag == 128:
		aead, err = cipher.NewGCMWithNonceSize(block, len(p.IV))
	case p.Tag == 96 || p.Tag == 104 || p.Tag == 112 || p.Tag == 120:
		aead, err = cipher.NewGCMWithTagSize(block, p.Tag/8)
	default:
		return nil, fail("NotSupportedError", "tagLength of AES-GCM is 96 to 128 here")
	}
	if err != nil {
		return nil, fail("OperationError", "AES-GCM cannot be set up")
	}
	if forward {
		return aead.Seal(nil, p.IV, data, p.AAD), nil
	}
	out, err := aead.Open(nil, p.IV, data, p.AAD)
	if err != nil {
		return nil, fail("OperationError", "The operation failed: the key, the iv or the data is not the one that was used to encrypt")
	}
	return out, nil
}

func cbc(block cipher.Block, p parameters, data []byte, forward bool) ([]byte, error) {
	if len(p.IV) != aes.BlockSize {
		return nil, fail("OperationError", "AES-CBC takes an iv of 16 bytes")
	}
	if forward {
		pad := aes.BlockSize - len(data)%aes.BlockSize
		out := make([]byte, len(data)+pad)
		copy(out, data)
		for i := len(data); i < len(out); i++ {
			out[i] = byte(pad)
		}
		cipher.NewCBCEncrypter(block, p.IV).CryptBlocks(out, out)
		return out, nil
	}
	bad := fail("OperationError", "The operation failed: the key, the iv or the data is not the one that was used to encrypt")
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, bad
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, p.IV).CryptBlocks(out, data)
	pad := int(out[len(out)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, bad
	}
	for _, c := range out[len(out)-pad:] {
		if int(c) != pad {
			return nil, bad
		}
	}
	return out[:len(out)-pad], nil
}

// ctr counts with the last bits of the block only; Go's stream counts with all.
func ctr(block cipher.Block, p parameters, data []byte) []byte {
	out := make([]byte, len(data))
	if p.Counter == 128 {
		cipher.NewCTR(block, p.IV).XORKeyStream(out, data)
		return out
	}
	modulus := new(big.Int).Lsh(big.NewInt(1), uint(p.Counter))
	start := new(big.Int).SetBytes(p.IV)
	low := new(big.Int).Mod(start, modulus)
	// As far as the counter goes before it begins again at zero.
	left := new(big.Int).Mul(new(big.Int).Sub(modulus, low), big.NewInt(aes.BlockSize))
	n := len(data)
	if left.IsInt64() && left.Int64() < int64(n) {
		n = int(left.Int64())
	}
	cipher.NewCTR(block, p.IV).XORKeyStream(out[:n], data[:n])
	if n < len(data) {
		again := make([]byte, aes.BlockSize)
		new(big.Int).Sub(start, low).FillBytes(again)
		cipher.NewCTR(block, again).XORKeyStream(out[n:], data[n:])
	}
	return out
}

func oaep(p parameters, der, data []byte, forward bool) ([]byte, error) {
	h, _, err := newHash(p.Hash)
	if err != nil {
		return nil, err
	}
	failed := fail("OperationError", "The operation failed: the data is too long, or not for this key")
	if forward {
		key, err := publicKey(der)
		if err != nil {
			return nil, err
		}
		public, ok := key.(*rsa.PublicKey)
		if !ok {
			return nil, wrongKey(p)
		}
		out, err := rsa.EncryptOAEP(h(), rand.Reader, public, data, p.Label)
		if err != nil {
			return nil, failed
		}
		return out, nil
	}
	key, err := privateKey(der)
	if err != nil {
		return nil, err
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, wrongKey(p)
	}
	out, err := rsa.DecryptOAEP(h(), nil, private, data, p.Label)
	if err != nil {
		return nil, failed
	}
	return out, nil
}

// derive(parameters, key, public key of the other side)
func derive(args [][]byte) ([]byte, error) {
	p, err := parametersOf(args[0])
	if err != nil {
		return nil, err
	}
	if p.Bits < 0 || p.Bits%8 != 0 || p.Bits > maxDerived {
		return nil, fail("OperationError", "the length must be a multiple of 8, at most %d bits", maxDerived)
	}
	if p.Name == "PBKDF2" || p.Name == "HKDF" {
		return stretch(p, args[1])
	}
	private, err := privateKey(args[1])
	if err != nil {
		return nil, err
	}
	public, err := publicKey(args[2])
	if err != nil {
		return nil, err
	}
	mine, ok := agreement(private).(*ecdh.PrivateKey)
	theirs, ok2 := agreement(public).(*ecdh.PublicKey)
	if !ok || !ok2 || mine.Curve() != theirs.Curve() {
		return nil, fail("InvalidAccessError", "the keys are not two of the same curve")
	}
	shared, err := mine.ECDH(theirs)
	if err != nil {
		return nil, fail("OperationError", "the keys cannot be combined")
	}
	if p.Bits == 0 {
		return shared, nil
	}
	if p.Bits/8 > len(shared) {
		return nil, fail("OperationError", "this curve gives %d bits", len(shared)*8)
	}
	return shared[:p.Bits/8], nil
}

// agreement returns an EC key in the form that key agreement needs.
func agreement(key any) any {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if e, err := k.ECDH(); err == nil {
			return e
		}
	case *ecdsa.PublicKey:
		if e, err := k.ECDH(); err == nil {
			return e
		}
	}
	return key
}

func stretch(p parameters, key []byte) ([]byte, error) {
	h, _, err := newHash(p.Hash)
	if err != nil {
		return nil, err
	}
	var salt []byte
	if json.Unmarshal(p.Salt, &salt) != nil {
		return nil, fail("TypeError", "salt must be bytes")
	}
	if p.Bits == 0 {
		return nil, fail("OperationError", "the length must not be zero")
	}
	var out []byte
	if p.Name == "HKDF" {
		out, err = hkdf.Key(h, key, salt, string(p.Info), p.Bits/8)
	} else {
		blocks := (p.Bits/8 + h().Size() - 1) / h().Size()
		if p.Iterations < 1 || p.Iterations > maxIterations/blocks {
			return nil, fail("OperationError", "PBKDF2 takes from 1 to %d iterations for this length", maxIterations/blocks)
		}
		out, err = pbkdf2.Key(h, string(key), salt, p.Iterations, p.Bits/8)
	}
	if err != nil {
		return nil, fail("OperationError", "deriving failed: %v", err)
	}
	return out, nil
}
