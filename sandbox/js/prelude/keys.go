package prelude

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
)

func init() {
	register("key_generate", operation{args: 1, text: true, run: keyGenerate})
	register("key_import", operation{args: 3, text: true, run: keyImport})
	register("key_export", operation{args: 3, run: keyExport})
}

// imported is what JavaScript learns of a key: the bytes that it hands to every
// operation, PKCS 8 for a private key, SubjectPublicKeyInfo for a public one.
type imported struct {
	Type     string `json:"type"`
	Key      []byte `json:"key"`
	Bits     int    `json:"bits"`
	Exponent []byte `json:"exponent,omitempty"` // of RSA, big-endian
}

func badKey() error {
	return fail("DataError", "the key is not valid for its format and algorithm")
}

func privateKey(der []byte) (any, error) {
	if len(der) > maxKey {
		return nil, badKey()
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, badKey()
	}
	if k, ok := key.(*rsa.PrivateKey); ok && k.N.BitLen() > maxModulus {
		return nil, fail("NotSupportedError", "an RSA key has at most %d bits here", maxModulus)
	}
	return key, nil
}

func publicKey(der []byte) (any, error) {
	if len(der) > maxKey {
		return nil, badKey()
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, badKey()
	}
	if k, ok := key.(*rsa.PublicKey); ok && k.N.BitLen() > maxModulus {
		return nil, fail("NotSupportedError", "an RSA key has at most %d bits here", maxModulus)
	}
	return key, nil
}

func curve(name string) (elliptic.Curve, error) {
	switch name {
	case "P-256":
		return elliptic.P256(), nil
	case "P-384":
		return elliptic.P384(), nil
	case "P-521":
		return elliptic.P521(), nil
	}
	return nil, fail("NotSupportedError", "the curve %.20q is not supported", name)
}

// secretAlgorithm tells whether keys of an algorithm are mere bytes.
func secretAlgorithm(name string) bool {
	return name == "HMAC" || name == "PBKDF2" || name == "HKDF" || strings.HasPrefix(name, "AES-")
}

// keyGenerate(parameters) returns {"secret"} or {"public","private"}, and the bits.
func keyGenerate(args [][]byte) ([]byte, error) {
	p, err := parametersOf(args[0])
	if err != nil {
		return nil, err
	}
	var out struct {
		Secret  []byte `json:"secret,omitempty"`
		Public  []byte `json:"public,omitempty"`
		Private []byte `json:"private,omitempty"`
		Bits    int    `json:"bits"`
	}
	if secretAlgorithm(p.Name) {
		if p.Bits < 8 || p.Bits%8 != 0 || p.Bits > 8*maxKey || p.Name != "HMAC" && !aesBits(p.Bits) {
			return nil, fail("OperationError", "a key for %s cannot have %d bits", p.Name, p.Bits)
		}
		out.Secret, out.Bits = make([]byte, p.Bits/8), p.Bits
		rand.Read(out.Secret)
		return json.Marshal(out)
	}
	var private any
	switch p.Name {
	case "Ed25519":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case "X25519":
		private, err = ecdh.X25519().GenerateKey(rand.Reader)
	case "ECDSA", "ECDH":
		var c elliptic.Curve
		if c, err = curve(p.Curve); err == nil {
			private, err = ecdsa.GenerateKey(c, rand.Reader)
		}
	default:
		err = fail("NotSupportedError", "keys for %.40q are not generated here", p.Name)
	}
	if err != nil {
		return nil, err
	}
	if out.Private, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return nil, err
	}
	if out.Public, err = x509.MarshalPKIXPublicKey(publicOf(private)); err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

func aesBits(n int) bool { return n == 128 || n == 192 || n == 256 }

func publicOf(private any) any {
	switch k := private.(type) {
	case ed25519.PrivateKey:
		return k.Public()
	case *ecdh.PrivateKey:
		return k.PublicKey()
	case *ecdsa.PrivateKey:
		return &k.PublicKey
	case *rsa.PrivateKey:
		return &k.PublicKey
	}
	return nil
}

// jwk are the fields of a JSON Web Key that are read and written here.
type jwk struct {
	Kty string `json:"kty"`
	Crv string `json:"crv,omitempty"`
	K   string `json:"k,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	D   string `json:"d,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
	P   string `json:"p,omitempty"`
	Q   string `json:"q,omitempty"`
	DP  string `json:"dp,omitempty"`
	DQ  string `json:"dq,omitempty"`
	QI  string `json:"qi,omitempty"`
	Alg string `json:"alg,omitempty"`
}

// keyImport(format, parameters, data) returns an imported key as JSON.
func keyImport(args [][]byte) ([]byte, error) {
	p, err := parametersOf(args[1])
	if err != nil {
		return nil, err
	}
	format, data := string(args[0]), args[2]
	var private, public any
	switch {
	case format == "raw" && secretAlgorithm(p.Name):
		return importSecret(p, data)
	case format == "raw":
		public, err = rawPublic(p, data)
	case format == "jwk":
		var k jwk
		if len(data) > 8*maxKey || json.Unmarshal(data, &k) != nil {
			return nil, badKey()
		}
		if secretAlgorithm(p.Name) {
			secret, err := base64.RawURLEncoding.DecodeString(k.K)
			if err != nil || k.Kty != "oct" {
				return nil, badKey()
			}
			return importSecret(p, secret)
		}
		private, public, err = fromJWK(k)
	case format == "pkcs8":
		private, err = privateKey(data)
	case format == "spki":
		public, err = publicKey(data)
	default:
		return nil, fail("NotSupportedError", "a key cannot be imported as %.20q", format)
	}
	if err != nil {
		return nil, err
	}
	if private != nil {
		public = publicOf(private)
	}
	// ParsePKCS8PrivateKey makes an ECDSA key of every EC key, whatever it is for.
	ok := false
	out := imported{Type: "public"}
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		ok = (p.Name == "ECDSA" || p.Name == "ECDH") && k.Curve.Params().Name == p.Curve
	case ed25519.PublicKey:
		ok = p.Name == "Ed25519"
	case *ecdh.PublicKey:
		ok = p.Name == "X25519" && k.Curve() == ecdh.X25519()
	case *rsa.PublicKey:
		ok = strings.HasPrefix(p.Name, "RSA")
		out.Bits, out.Exponent = k.N.BitLen(), big.NewInt(int64(k.E)).Bytes()
	}
	if !ok {
		return nil, badKey()
	}
	if private != nil {
		out.Type = "private"
		out.Key, err = x509.MarshalPKCS8PrivateKey(private)
	} else {
		out.Key, err = x509.MarshalPKIXPublicKey(public)
	}
	if err != nil {
		return nil, badKey()
	}
	return json.Marshal(out)
}

func importSecret(p parameters, data []byte) ([]byte, error) {
	switch {
	case strings.HasPrefix(p.Name, "AES-") && !aesBits(8*len(data)):
		return nil, fail("DataError", "an AES key has 128, 192 or 256 bits, not %d", 8*len(data))
	case p.Name == "HMAC" && len(data) == 0:
		return nil, fail("DataError", "a key for HMAC cannot be empty")
	case len(data) > maxKey:
		return nil, fail("DataError", "a secret key has at most %d KB here", maxKey>>10)
	}
	return json.Marshal(imported{Type: "secret", Key: data, Bits: 8 * len(data)})
}

func rawPublic(p parameters, data []byte) (any, error) {
	switch p.Name {
	case "Ed25519":
		if len(data) == ed25519.PublicKeySize {
			return ed25519.PublicKey(data), nil
		}
	case "X25519":
		if k, err := ecdh.X25519().NewPublicKey(data); err == nil {
			return k, nil
		}
	case "ECDSA", "ECDH":
		c, err := curve(p.Curve)
		if err != nil {
			return nil, err
		}
		if k, err := ecdsa.ParseUncompressedPublicKey(c, data); err == nil {
			return k, nil
		}
	}
	return nil, badKey()
}

// field decodes a base64url number or string of a JWK.
func field(s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err == nil && (len(b) == 0 || len(b) > maxKey) {
		err = errors.New("size")
	}
	return b, err
}

func fromJWK(k jwk) (private, public any, err error) {
	get := func(s string) (b []byte) {
		if err == nil {
			b, err = field(s)
		}
		return b
	}
	defer func() {
		if err != nil {
			if _, ours := err.(*Error); !ours {
				err = badKey()
			}
			private, public = nil, nil
		}
	}()
	switch k.Kty {
	case "EC":
		c, err := curve(k.Crv)
		if err != nil {
			return nil, nil, badKey()
		}
		size := (c.Params().BitSize + 7) / 8
		x, y := get(k.X), get(k.Y)
		if err != nil || len(x) != size || len(y) != size {
			return nil, nil, badKey()
		}
		pub, err := ecdsa.ParseUncompressedPublicKey(c, append(append([]byte{4}, x...), y...))
		if err != nil || k.D == "" {
			return nil, pub, err
		}
		d, err := field(k.D)
		if err != nil {
			return nil, nil, err
		}
		priv, err := ecdsa.ParseRawPrivateKey(c, d)
		if err != nil || !priv.PublicKey.Equal(pub) {
			return nil, nil, badKey()
		}
		return priv, nil, nil
	case "OKP":
		x := get(k.X)
		if err != nil {
			return nil, nil, err
		}
		if k.D == "" {
			public, err = rawPublic(parameters{Name: k.Crv}, x)
			return nil, public, err
		}
		d := get(k.D)
		switch {
		case err != nil:
		case k.Crv == "Ed25519" && len(d) == ed25519.SeedSize:
			priv := ed25519.NewKeyFromSeed(d)
			if string(priv.Public().(ed25519.PublicKey)) == string(x) {
				return priv, nil, nil
			}
		case k.Crv == "X25519":
			if priv, err := ecdh.X25519().NewPrivateKey(d); err == nil && string(priv.PublicKey().Bytes()) == string(x) {
				return priv, nil, nil
			}
		}
		return nil, nil, badKey()
	case "RSA":
		n, e := get(k.N), get(k.E)
		if err != nil || len(e) > 4 || len(n) > maxModulus/8 {
			return nil, nil, badKey()
		}
		pub := rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		if k.D == "" {
			return nil, &pub, nil
		}
		d, p, q := get(k.D), get(k.P), get(k.Q)
		if err != nil || len(d) > maxModulus/8 || len(p) > maxModulus/8 || len(q) > maxModulus/8 {
			return nil, nil, badKey()
		}
		priv := &rsa.PrivateKey{PublicKey: pub, D: new(big.Int).SetBytes(d), Primes: []*big.Int{new(big.Int).SetBytes(p), new(big.Int).SetBytes(q)}}
		if priv.Validate() != nil {
			return nil, nil, badKey()
		}
		priv.Precompute()
		return priv, nil, nil
	}
	return nil, nil, badKey()
}

// keyExport(format, parameters, key)
func keyExport(args [][]byte) ([]byte, error) {
	p, err := parametersOf(args[1])
	if err != nil {
		return nil, err
	}
	format, data := string(args[0]), args[2]
	unsupported := fail("NotSupportedError", "a %s key for %s cannot be exported as %.20q", p.Type, p.Name, format)
	if p.Type == "secret" {
		switch format {
		case "raw":
			return bytes.Clone(data), nil
		case "jwk":
			return json.Marshal(jwk{Kty: "oct", K: base64.RawURLEncoding.EncodeToString(data), Alg: secretAlg(p, data)})
		}
		return nil, unsupported
	}
	var private, public any
	if p.Type == "private" {
		if private, err = privateKey(data); err != nil {
			return nil, err
		}
		public = publicOf(private)
	} else if public, err = publicKey(data); err != nil {
		return nil, err
	}
	switch {
	case format == "pkcs8" && private != nil, format == "spki" && private == nil:
		return bytes.Clone(data), nil
	case format == "jwk":
		k, err := toJWK(private, public)
		if err != nil {
			return nil, err
		}
		return json.Marshal(k)
	case format == "raw" && private == nil:
		switch k := public.(type) {
		case ed25519.PublicKey:
			return k, nil
		case *ecdh.PublicKey:
			return k.Bytes(), nil
		case *ecdsa.PublicKey:
			return k.Bytes()
		}
	}
	return nil, unsupported
}

func secretAlg(p parameters, data []byte) string {
	if p.Name == "HMAC" {
		return "HS" + strings.TrimPrefix(p.Hash, "SHA-")
	}
	return map[int]string{16: "A128", 24: "A192", 32: "A256"}[len(data)] + strings.TrimPrefix(p.Name, "AES-")
}

func toJWK(private, public any) (jwk, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := public.(type) {
	case ed25519.PublicKey:
		out := jwk{Kty: "OKP", Crv: "Ed25519", X: b64(k)}
		if priv, ok := private.(ed25519.PrivateKey); ok {
			out.D = b64(priv.Seed())
		}
		return out, nil
	case *ecdh.PublicKey:
		out := jwk{Kty: "OKP", Crv: "X25519", X: b64(k.Bytes())}
		if priv, ok := private.(*ecdh.PrivateKey); ok {
			out.D = b64(priv.Bytes())
		}
		return out, nil
	case *ecdsa.PublicKey:
		raw, err := k.Bytes()
		if err != nil {
			return jwk{}, badKey()
		}
		half := len(raw) / 2
		out := jwk{Kty: "EC", Crv: k.Curve.Params().Name, X: b64(raw[1 : 1+half]), Y: b64(raw[1+half:])}
		if priv, ok := private.(*ecdsa.PrivateKey); ok {
			d, err := priv.Bytes()
			if err != nil {
				return jwk{}, badKey()
			}
			out.D = b64(d)
		}
		return out, nil
	case *rsa.PublicKey:
		out := jwk{Kty: "RSA", N: b64(k.N.Bytes()), E: b64(big.NewInt(int64(k.E)).Bytes())}
		if priv, ok := private.(*rsa.PrivateKey); ok && len(priv.Primes) == 2 {
			priv.Precompute()
			out.D, out.P, out.Q = b64(priv.D.Bytes()), b64(priv.Primes[0].Bytes()), b64(priv.Primes[1].Bytes())
			out.DP, out.DQ, out.QI = b64(priv.Precomputed.Dp.Bytes()), b64(priv.Precomputed.Dq.Bytes()), b64(priv.Precomputed.Qinv.Bytes())
		}
		return out, nil
	}
	return jwk{}, badKey()
}
