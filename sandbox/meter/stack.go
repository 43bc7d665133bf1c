package meter

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

// yields tells whether an instruction other than a call has a value of its own as
// its result. It may say so of one that has none.
func (in *instruction) yields() bool {
	const nop = 0x01
	switch op := in.op; {
	case in.endsBlock(), op == nop, op == opUnreachable, op == opDrop, op == opCall, op == opCallIndirect:
		return false
	case op >= opLocalGet && op <= opLocalTee, op == opGlobalSet, op >= 0x36 && op <= 0x3e: // stores
		return false
	}
	return true
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
