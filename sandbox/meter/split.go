package meter

// A memory.fill or memory.copy of many bytes is one instruction that nothing can
// interrupt: 512 MB took a quarter of a second, in which the garbage collector,
// and everyone who waits for it, stood still. So the long ones are done by
// functions of the meter's own, in pieces with a look at the fuel between them.
// Where the whole is out of bounds it fails before the first piece, as the
// instruction does.
//
// memory.init needs none of this: it copies at most what the module has.

// pieceBytes is the size of a piece, and up to which an instruction is left alone:
// about 25 us, or 60 us where the pages are touched for the first time.
const pieceBytes = 256 << 10

// splitType is the type of memory.fill and memory.copy, and of their stand-ins.
var splitType = FuncType{Params: I32 + I32 + I32}

// stand-ins, in the order of their indices behind the input's functions.
const (
	splitFill = iota
	splitCopy
	splits
)

// splitOf tells which function does an instruction's work when it is long.
func (in *instruction) splitOf() (split int, ok bool) {
	switch {
	case in.op != opBulk:
		return 0, false
	case in.sub == bulkMemoryFill:
		return splitFill, true
	case in.sub == bulkMemoryCopy:
		return splitCopy, true
	}
	return 0, false
}

// splitIndex is a stand-in's function index in the output.
func (m *module) splitIndex(split int) uint32 {
	return m.shifted(uint32(len(m.funcTypes))) + uint32(split)
}

// orSplit writes a memory.fill or memory.copy with its operands on the stack.
func (b *body) orSplit(in *instruction, split int) {
	b.spared, b.m.split = true, true
	length, middle, to := b.spare, b.spare+1, b.spare+2
	operands := func() {
		b.op(opLocalGet, to)
		b.op(opLocalGet, middle)
		b.op(opLocalGet, length)
	}
	b.op(opLocalSet, length)
	b.op(opLocalSet, middle)
	b.op(opLocalSet, to)
	b.op(opLocalGet, length)
	b.constant(pieceBytes)
	b.out = append(b.out, opI32GtU, opIf, typeEmpty)
	if b.cached {
		b.op(opLocalGet, b.fuel)
		b.op(opGlobalSet, b.m.globals)
	}
	operands()
	b.op(opCall, b.m.splitIndex(split))
	if b.cached {
		b.op(opGlobalGet, b.m.globals)
		b.op(opLocalSet, b.fuel)
	}
	b.out = append(b.out, opElse)
	b.op(opLocalGet, length)
	b.chargeOperand(bytesShift)
	b.out = append(b.out, opDrop)
	operands()
	b.copy(in)
	b.out = append(b.out, opEnd)
}

// splitCode writes the stand-ins' bodies. Their parameters are where to, the value
// or where from, and how many bytes; the fourth local is the size of a piece.
func (m *module) splitCode(split int) []byte {
	const to, middle, length, piece = 0, 1, 2, 3
	b := &body{m: m, fuel: m.globals, spare: 4}
	get := func(locals ...uint32) {
		for _, l := range locals {
			b.op(opLocalGet, l)
		}
	}
	do := func() {
		if split == splitFill {
			b.out = append(b.out, opBulk, bulkMemoryFill, 0)
		} else {
			b.out = append(b.out, opBulk, bulkMemoryCopy, 0, 0)
		}
	}
	plain := func(ops ...byte) { b.out = append(b.out, ops...) }

	// Past 2^32: the instruction itself fails, or is the whole of the memory.
	ranges := []uint32{to}
	if split == splitCopy {
		ranges = append(ranges, middle)
	}
	for _, r := range ranges {
		get(r, length)
		plain(opI32Add)
		get(r)
		plain(opI32LtU, opIf, typeEmpty)
		get(to, middle, length)
		do()
		plain(opReturn, opEnd)
	}
	// Nothing, at the end of the range: fails when the range is out of bounds.
	get(to, length)
	plain(opI32Add)
	get(middle)
	if split == splitCopy {
		get(length)
		plain(opI32Add)
	}
	plain(opI32Const, 0)
	do()

	// next sets piece to what is done next, and pays for it.
	next := func() {
		get(length)
		b.constant(pieceBytes)
		get(length)
		b.constant(pieceBytes)
		plain(opI32LtU, opSelect)
		b.op(opLocalSet, piece)
		b.op(opGlobalGet, m.globals)
		get(piece)
		b.constant(bytesShift)
		plain(opI32ShrU, opI32Sub)
		b.op(opGlobalSet, m.globals)
		b.check()
	}
	minus := func(local uint32) {
		get(local, piece)
		plain(opI32Sub)
		b.op(opLocalSet, local)
	}
	plus := func(local uint32) {
		get(local, piece)
		plain(opI32Add)
		b.op(opLocalSet, local)
	}
	if split == splitCopy {
		// Overlapping ranges are copied from the end that is not overwritten.
		get(middle, to)
		plain(opI32LtU, opIf, typeEmpty, opLoop, typeEmpty)
		next()
		minus(length)
		get(to, length)
		plain(opI32Add)
		get(middle, length)
		plain(opI32Add)
		get(piece)
		do()
		get(length)
		plain(opBrIf, 0, opEnd, opReturn, opEnd)
	}
	plain(opLoop, typeEmpty)
	next()
	get(to, middle, piece)
	do()
	plus(to)
	if split == splitCopy {
		plus(middle)
	}
	minus(length)
	get(length)
	plain(opBrIf, 0, opEnd, opEnd)
	return b.out
}
