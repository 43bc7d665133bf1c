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
	opI32LtS       = 0x48
	opI32GeS       = 0x4e
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
	arg    uint32 // first immediate: an index, a label, or a block type as int32
	op     byte
	sub    byte // the opcode behind a prefix
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

// stackChange is by how many values an instruction without control flow changes
// the height of the stack. Calls have to be looked up.
func (in *instruction) stackChange() int {
	op := in.op
	switch {
	case op == opLocalGet, op == opGlobalGet, op == 0x3f, op >= opI32Const && op <= opF64Const, op == opRefNull, op == opRefFunc:
		return 1
	case op == opIf, op == opBrIf, op == opBrTable, op == 0x1a, op == opLocalSet, op == opGlobalSet:
		return -1
	case op == 0x1b, op == 0x1c, op == 0x26, op >= 0x36 && op <= 0x3e: // select, table.set, stores
		return -2
	case op >= 0x45 && op <= 0xc4:
		if isUnary(op) {
			return 0
		}
		return -1
	case op == opBulk:
		switch in.sub {
		case bulkTableSize:
			return 1
		case bulkTableGrow:
			return -1
		case bulkMemoryInit, bulkMemoryCopy, bulkMemoryFill, bulkTableInit, bulkTableCopy, bulkTableFill:
			return -3
		}
	case op == opVector:
		switch {
		case in.sub == 12: // const
			return 1
		case in.sub == 11, in.sub == 82, in.sub >= 88 && in.sub <= 91: // store, bitselect, store lane
			return -2
		case !isUnaryVector(in.sub):
			return -1
		}
	}
	return 0
}

// isUnary tells the numeric instructions with one operand from those with two.
func isUnary(op byte) bool {
	return op == 0x45 || op == 0x50 || op >= 0x67 && op <= 0x69 || op >= 0x79 && op <= 0x7b ||
		op >= 0x8b && op <= 0x91 || op >= 0x99 && op <= 0x9f || op >= 0xa7
}

// isUnaryVector tells the vector instructions that replace one value from those
// that take two. Stores, const and bitselect are neither.
func isUnaryVector(sub byte) bool {
	switch {
	case sub <= 10, // loads
		sub >= 15 && sub <= 22, sub == 24, sub == 25, sub == 27, sub == 29, sub == 31, sub == 33, // splat, extract lane
		sub == 77, sub == 83, // not, any_true
		sub >= 92 && sub <= 100, sub >= 103 && sub <= 106, sub == 116, sub == 117, sub == 122,
		sub >= 124 && sub <= 129, sub == 131, sub == 132, sub >= 135 && sub <= 138, sub == 148,
		sub == 160, sub == 161, sub == 163, sub == 164, sub >= 167 && sub <= 170,
		sub == 192, sub == 193, sub == 195, sub == 196, sub >= 199 && sub <= 202,
		sub == 224, sub == 225, sub == 227, sub == 236, sub == 237, sub == 239, sub >= 248:
		return true
	}
	return false
}

// accessesMemory tells loads and stores.
func (in *instruction) accessesMemory() bool {
	switch s := in.shape(); s {
	case shapeMemory, shapeMemLane:
		return true
	}
	return false
}

// work is what compiling the instruction alone costs.
func (in *instruction) work() float64 {
	op := in.op
	switch {
	case in.endsBlock():
		return workControl
	case op == opCall, op == opRefFunc:
		return workCall
	case op == opCallIndirect:
		return workIndirect
	case in.accessesMemory():
		return workMemory
	case op == 0x25, op == 0x26:
		return workTable
	case op >= 0x6d && op <= 0x70, op >= 0x7f && op <= 0x82:
		return workDivision
	case op >= 0xa8 && op <= 0xab, op >= 0xae && op <= 0xb1:
		return workTruncation
	case op == opVector:
		return workVector
	case op == opMemoryGrow, op == opBulk && in.sub >= bulkMemoryInit:
		return workBulk
	}
	return workInstruction
}
