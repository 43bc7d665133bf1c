package meter

import "iter"

// Opcodes the meter looks at or writes.
const (
	opUnreachable  = 0x00
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opDrop         = 0x1a
	opSelect       = 0x1b
	opI32LtS       = 0x48
	opI32LtU       = 0x49
	opI32GtU       = 0x4b
	opI32GeS       = 0x4e
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32And       = 0x71
	opI32ShrU      = 0x76
	opRefNull      = 0xd0
	opRefFunc      = 0xd2
	opBulk         = 0xfc // prefix
	opVector       = 0xfd // prefix

	typeI32   = 0x7f
	typeEmpty = 0x40
)

// Sub-opcodes behind opBulk.
const (
	bulkMemoryInit = 8
	bulkDataDrop   = 9
	bulkMemoryCopy = 10
	bulkMemoryFill = 11
	bulkTableInit  = 12
	bulkElemDrop   = 13
	bulkTableCopy  = 14
	bulkTableGrow  = 15
	bulkTableSize  = 16
	bulkTableFill  = 17
)

// instruction is one decoded instruction.
type instruction struct {
	pos    int32  // offset of its immediates
	charge int32  // cost of a back-edge, set by paths
	pay    int32  // charged before it, set by paths
	arg    uint32 // first immediate: an index, a label, or a block type as int32
	op     byte
	sub    byte // the opcode behind a prefix
	look   bool // at the fuel, once paid
}

// shape says what immediates an instruction has.
type shape byte

const (
	shapeInvalid   shape = iota
	shapeNone            // nothing
	shapeBlock           // a block type
	shapeIndex           // an index
	shapeIndex2          // two indices
	shapeTable           // labels of br_table
	shapeRef             // a reference type
	shapeTypes           // value types of select
	shapeMemory          // alignment and offset
	shapeLane            // a lane
	shapeMemLane         // alignment, offset and lane
	shapeI32             // a signed 32-bit constant
	shapeI64             // a signed 64-bit constant
	shape4               // 4 bytes
	shape8               // 8 bytes
	shape16              // 16 bytes
	shapeZero            // a zero byte
	shapeZero2           // two zero bytes
	shapeIndexZero       // an index and a zero byte
	shapePrefix          // a sub-opcode decides
)

func shapeOf(op byte) shape {
	switch {
	case op >= 0x45 && op <= 0xc4, op <= 0x01, op == opElse, op == opEnd, op == opReturn, op == 0x1a, op == 0x1b, op == 0xd1:
		return shapeNone
	case op >= 0x20 && op <= 0x26, op == opBr, op == opBrIf, op == opCall, op == opRefFunc:
		return shapeIndex
	case op >= 0x28 && op <= 0x3e:
		return shapeMemory
	}
	switch op {
	case opBlock, opLoop, opIf:
		return shapeBlock
	case opBrTable:
		return shapeTable
	case opCallIndirect:
		return shapeIndex2
	case 0x1c:
		return shapeTypes
	case 0x3f, opMemoryGrow:
		return shapeZero
	case opI32Const:
		return shapeI32
	case opI64Const:
		return shapeI64
	case opF32Const:
		return shape4
	case opF64Const:
		return shape8
	case opRefNull:
		return shapeRef
	case opBulk, opVector:
		return shapePrefix
	}
	return shapeInvalid
}

func bulkShape(sub uint32) shape {
	switch {
	case sub < bulkMemoryInit:
		return shapeNone // saturating truncation
	case sub == bulkMemoryInit:
		return shapeIndexZero
	case sub == bulkMemoryCopy:
		return shapeZero2
	case sub == bulkMemoryFill:
		return shapeZero
	case sub == bulkTableInit, sub == bulkTableCopy:
		return shapeIndex2
	case sub <= bulkTableFill:
		return shapeIndex
	}
	return shapeInvalid
}

func vectorShape(sub uint32) shape {
	switch {
	case sub <= 11, sub == 92, sub == 93:
		return shapeMemory
	case sub == 12, sub == 13:
		return shape16
	case sub >= 21 && sub <= 34:
		return shapeLane
	case sub >= 84 && sub <= 91:
		return shapeMemLane
	case sub <= 255:
		return shapeNone
	}
	return shapeInvalid
}

// shape is the shape of a decoded instruction.
func (in *instruction) shape() shape {
	switch in.op {
	case opBulk:
		return bulkShape(uint32(in.sub))
	case opVector:
		return vectorShape(uint32(in.sub))
	}
	return shapeOf(in.op)
}

// instruction reads one instruction.
func (r *reader) instruction() instruction {
	at := r.pos
	in := instruction{op: r.u8()}
	s := shapeOf(in.op)
	if s == shapePrefix {
		sub := r.u32()
		if in.op == opBulk {
			s = bulkShape(sub)
		} else {
			s = vectorShape(sub)
		}
		in.sub = byte(sub)
		if s == shapeInvalid {
			r.failAt(at, Unsupported, "instruction %#x %d is not part of WebAssembly 2.0: build without newer proposals", in.op, sub)
			return in
		}
		if in.op == opVector && r.err == nil && r.pos-at != 2+int(sub>>7) {
			// The engine reads a single byte and would see another instruction.
			r.failAt(at, Malformed, "a vector instruction in more bytes than it needs")
			return in
		}
	}
	in.pos = int32(r.pos)
	switch s {
	case shapeNone:
	case shapeBlock:
		v := r.s33()
		if v < 0 && r.err == nil { // then it is a single byte
			r.pos = int(in.pos)
			if r.b[r.pos] == typeEmpty {
				r.pos++
			} else {
				r.valueType()
			}
		}
		if v > 1<<31-1 {
			r.failAt(at, Malformed, "block type %d does not exist", v)
		}
		in.arg = uint32(int32(v))
	case shapeIndex:
		in.arg = r.u32()
	case shapeIndex2:
		in.arg = r.u32()
		r.u32()
	case shapeTable:
		in.arg = r.u32()
		if int64(in.arg) > int64(r.end-r.pos) {
			r.failAt(at, Malformed, "br_table announces %d targets in %d bytes", in.arg, r.end-r.pos)
		}
		for i := uint32(0); i <= in.arg && r.err == nil; i++ {
			r.u32()
		}
	case shapeRef:
		r.refType()
	case shapeTypes:
		if n := r.u32(); n != 1 {
			r.failAt(at, Malformed, "select with %d types", n)
		}
		r.valueType()
	case shapeMemory, shapeMemLane:
		if align := r.u32(); align > 31 {
			r.failAt(at, Unsupported, "memory access flags %#x: build without the multi-memory proposal", align)
		}
		r.u32()
		if s == shapeMemLane {
			r.u8()
		}
	case shapeLane:
		r.u8()
	case shapeI32:
		r.s32()
	case shapeI64:
		r.s64()
	case shape4:
		r.bytes(4)
	case shape8:
		r.bytes(8)
	case shape16:
		r.bytes(16)
	case shapeZero:
		r.zero()
	case shapeZero2:
		r.zero()
		r.zero()
	case shapeIndexZero:
		in.arg = r.u32()
		r.zero()
	default:
		r.failAt(at, Unsupported, "instruction %#x is not part of WebAssembly 2.0: build without tail calls, exceptions, threads and newer proposals", in.op)
	}
	return in
}

// appendInstruction writes an instruction that was read from body before. It
// copies indices as they are.
func appendInstruction(out, body []byte, in *instruction) []byte {
	out = append(out, in.op)
	if in.op == opBulk || in.op == opVector {
		out = appendU32(out, uint32(in.sub))
	}
	r := reader{b: body, pos: int(in.pos), end: len(body)}
	switch in.shape() {
	case shapeBlock:
		out = appendS64(out, int64(int32(in.arg)))
	case shapeIndex:
		out = appendU32(out, in.arg)
	case shapeIndex2, shapeMemory:
		out = appendU32(out, r.u32())
		out = appendU32(out, r.u32())
	case shapeMemLane:
		out = appendU32(out, r.u32())
		out = appendU32(out, r.u32())
		out = append(out, r.u8())
	case shapeTable:
		for i := uint32(0); i <= in.arg+1; i++ {
			out = appendU32(out, r.u32())
		}
	case shapeTypes:
		out = append(out, 1)
		r.u32()
		out = append(out, r.u8())
	case shapeI32:
		out = appendS64(out, int64(r.s32()))
	case shapeI64:
		out = appendS64(out, r.s64())
	case shapeRef, shapeLane, shapeZero:
		out = append(out, r.u8())
	case shapeZero2:
		out = append(out, 0, 0)
	case shapeIndexZero:
		out = append(appendU32(out, in.arg), 0)
	case shape4:
		out = append(out, r.bytes(4)...)
	case shape8:
		out = append(out, r.bytes(8)...)
	case shape16:
		out = append(out, r.bytes(16)...)
	}
	return out
}

// labels iterates over the targets of a br_table that was read from b, the
// default last.
func (in *instruction) labels(b []byte) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		r := reader{b: b, pos: int(in.pos), end: len(b)}
		for n := r.u32() + 1; n > 0; n-- {
			if !yield(r.u32()) {
				return
			}
		}
	}
}

// endsBlock reports whether the instruction ends a basic block.
func (in *instruction) endsBlock() bool { return in.op >= opBlock && in.op <= opReturn }

// accessesMemory tells loads and stores.
func (in *instruction) accessesMemory() bool {
	switch s := in.shape(); s {
	case shapeMemory, shapeMemLane:
		return true
	}
	return false
}
