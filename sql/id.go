package sql

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// NewID makes an invocation's id: a version 7 UUID, so ids sort by the time
// they were made (in milliseconds, by this process's clock).
func NewID() string {
	var b [16]byte
	rand.Read(b[6:]) // never fails
	ms := time.Now().UnixMilli()
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6] = 0x70 | b[6]&0x0f
	b[8] = 0x80 | b[8]&0x3f
	s := make([]byte, 36)
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s)
}
