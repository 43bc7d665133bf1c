package meter

// The appenders write the shortest encoding. The output is written anew rather
// than copied, so that wazero never reads an encoding that only the input chose.

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendS64(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func appendBytes[T string | []byte](b []byte, v T) []byte {
	return append(appendU32(b, uint32(len(v))), v...)
}

func appendLimits(b []byte, min, max uint32, bounded bool) []byte {
	if !bounded {
		return appendU32(append(b, 0), min)
	}
	return appendU32(appendU32(append(b, 1), min), max)
}

func appendSection(b []byte, id byte, payload []byte) []byte {
	if len(payload) == 0 {
		return b
	}
	return appendBytes(append(b, id), payload)
}
