package meter

// Costs, in units of fuel. A simple instruction costs 1, roughly a third of a
// nanosecond; what the units miss, such as cache misses, the host corrects by
// making slices smaller when they take long.
const (
	divisionCost = 12  // integer and float division, remainder, square root
	hostCallCost = 100 // calls of imports
	callCost     = 4   // on top of what the callee wants paid for it
	indirectCost = 6   // on top of the most expensive callee
	backEdgeCost = 3   // the check itself
	bytesShift   = 3   // eight bytes of a bulk instruction cost 1

	// smallCost bounds bounded and lazy functions: what can run unchecked.
	smallCost = 300

	// takenCost is the same for functions whose address is taken, since an
	// indirect call pays for the dearest of them.
	takenCost = 100

	// payCost is what may be left to pay where ways part or meet. More is paid
	// before, by those who owe it: of the arms of a large switch the cheap ones
	// do not pay for the dearest.
	payCost = 128

	// lookCost is the most that a function does without a look at the fuel,
	// about 20 us of simple instructions.
	lookCost = 50_000

	// tailCost is the most that a function does behind a call without a look at
	// the fuel. It is small, because on the way back from a recursion it counts
	// once for every activation, and none of them passes an entry.
	tailCost = 2 * smallCost

	// maxCharge is the most that is charged at once. It keeps the fuel far from
	// wrapping around.
	maxCharge = 1 << 28
)

// cost is what executing an instruction charges; the iterations of loops and the
// operands of bulk instructions are charged apart.
func (m *module) cost(in *instruction) int {
	switch in.op {
	case opBlock, opLoop, opEnd:
		return 0 // labels
	case opCall:
		if in.arg < m.importedFuncs {
			return hostCallCost
		}
		return callCost + int(m.functions[in.arg-m.importedFuncs].prefix)
	case opCallIndirect:
		return indirectCost + m.indirect
	case 0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, 0x91, 0x95, 0x9f, 0xa3:
		return divisionCost
	}
	return 1
}

// bulk tells how an instruction charges by the operand on top of the stack: n
// units for n<<shift. Every instruction with such a cost is bulk.
func (in *instruction) bulk() (shift int32, ok bool) {
	if in.op == opMemoryGrow {
		return 0, true // pages
	}
	if in.op != opBulk {
		return 0, false
	}
	switch in.sub {
	case bulkMemoryInit, bulkMemoryCopy, bulkMemoryFill:
		return bytesShift, true
	case bulkTableInit, bulkTableCopy, bulkTableGrow, bulkTableFill:
		return 1, true // elements
	}
	return 0, false
}

// writesTable tells whether an instruction changes a table, or the segments that
// tables are filled from.
func (in *instruction) writesTable() bool {
	const tableSet, elemDrop = 0x26, 13
	if in.op != opBulk {
		return in.op == tableSet
	}
	switch in.sub {
	case bulkTableInit, elemDrop, bulkTableCopy, bulkTableGrow, bulkTableFill:
		return true
	}
	return false
}

// frameCost is charged per activation for the native stack frame, so that the
// stack cannot grow far between two checks: by 32 bytes for a unit. A frame has at
// most one slot per value: the results of instructions, locals, and what is joined
// where control flow meets.
func (f *function) frameCost() int { return 4 + (int(f.values)+int(f.locals)+int(f.phis))/4 }

// visit is how far classify got with a function.
type visit byte

const (
	unvisited visit = iota
	visiting
	visited
)

// classify finds the bounded and the lazy functions.
func (m *module) classify() {
	for i := range m.functions {
		m.classifyFunction(m.importedFuncs + uint32(i))
	}
	m.indirect = hostCallCost
	for x := range m.taken {
		if x >= m.importedFuncs {
			m.indirect = max(m.indirect, int(m.functions[x-m.importedFuncs].prefix))
		}
	}
}

// classifyFunction classifies the callees of function x first. Its recursion is as
// deep as the longest chain of small functions, at most the number of functions.
func (m *module) classifyFunction(x uint32) {
	f := m.callee(x)
	if f.state != unvisited {
		return
	}
	f.state = visiting
	defer func() { f.state, f.calls = visited, nil }()
	limit := smallCost
	if m.taken[x] {
		limit = takenCost
	}
	if f.loops > 0 || f.bulk || int(f.ops) > limit {
		return
	}
	total := int(f.ops) + f.frameCost()
	unbounded, entry, last := 0, false, int32(-1)
	for _, c := range f.calls {
		if m.isBounded(c.target) {
			total += int(m.callee(c.target).prefix)
			continue
		}
		if c.block != last { // another block with such a call
			unbounded++
			last = c.block
		}
		entry = entry || c.block == 0
	}
	switch {
	case total > limit:
	case unbounded == 0:
		f.class, f.prefix = bounded, int32(total)
	case !entry && unbounded <= 2:
		f.class, f.prefix = lazy, int32(total)
	}
}

// isBounded tells whether a call of target is certain to return soon. A function
// that is being visited is part of a recursion.
func (m *module) isBounded(target uint32) bool {
	if target == indirectCall || target < m.importedFuncs {
		return false
	}
	m.classifyFunction(target)
	g := m.callee(target)
	return g.state == visited && g.class == bounded
}

func (m *module) callee(target uint32) *function { return &m.functions[target-m.importedFuncs] }

// unbounded tells whether an instruction is a call that is not bounded. It is
// for use after classify.
func (m *module) unbounded(in *instruction) bool {
	switch in.op {
	case opCallIndirect:
		return true
	case opCall:
		return in.arg < m.importedFuncs || m.callee(in.arg).class != bounded
	}
	return false
}
