package prelude

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
)

func init() {
	register("compress", operation{args: 2, run: compress})
	register("decompress", operation{args: 2, run: decompress})
}

// compress(format, data)
func compress(args [][]byte) ([]byte, error) {
	var out bytes.Buffer
	var w io.WriteCloser
	switch string(args[0]) {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "deflate":
		w = zlib.NewWriter(&out)
	case "deflate-raw":
		w, _ = flate.NewWriter(&out, flate.DefaultCompression) // fails only for a bad level
	default:
		return nil, fail("TypeError", "the format %.20q is not supported", args[0])
	}
	if _, err := w.Write(args[1]); err != nil {
		return nil, fail("OperationError", "compressing failed")
	}
	if err := w.Close(); err != nil {
		return nil, fail("OperationError", "compressing failed")
	}
	return out.Bytes(), nil
}

// decompress(format, data) refuses what becomes larger than an argument may be.
func decompress(args [][]byte) ([]byte, error) {
	bad := fail("TypeError", "the data is not valid %.20s", args[0])
	in := bytes.NewReader(args[1])
	var r io.Reader
	var err error
	switch string(args[0]) {
	case "gzip":
		r, err = gzip.NewReader(in)
	case "deflate":
		r, err = zlib.NewReader(in)
	case "deflate-raw":
		r = flate.NewReader(in)
	default:
		return nil, fail("TypeError", "the format %.20q is not supported", args[0])
	}
	if err != nil {
		return nil, bad
	}
	out, err := io.ReadAll(io.LimitReader(r, maxArgument+1))
	switch {
	case len(out) > maxArgument:
		return nil, fail("QuotaExceededError", "the data is larger than %d MB when decompressed", maxArgument>>20)
	case err != nil || in.Len() > 0:
		return nil, bad
	}
	return out, nil
}
