package meter

// class says who pays for a function and who looks at the fuel.
type class byte

const (
	// eager functions charge their longest path at entry and look at the fuel.
	eager class = iota

	// bounded functions call nothing but bounded functions and have no loop:
	// what a call of them can cost is known and small. They are left as they
	// are and their callers pay.
	bounded

	// lazy functions are small and have no loop, but make calls that are not
	// bounded. Their callers pay for them too; they look at the fuel only in the
	// blocks with such a call, so that the path that ends a recursion is free.
	lazy
)

// function is what a scan of a body found.
type function struct {
	start, end int32 // the body's bytes in the module, behind the declaration of locals
	runs       []run // declared locals
	locals     int32 // parameters and locals
	ops        int32 // instructions
	values     int32 // results of instructions
	phis       int32 // bound on values joined where control flow meets
	loops      int32
	bulk       bool   // has instructions whose cost depends on an operand
	calls      []call // of functions that could be bounded or lazy
	class      class
	state      visit
	prefix     int32 // what a caller charges for it
}

// run is a number of locals of one type.
type run struct {
	n   uint32
	typ byte
}

// call is a call in the block-th basic block of a function.
type call struct {
	target uint32 // function index of the input, or indirectCall
	block  int32
}

const indirectCall = 1<<32 - 1

// codeSection scans all bodies.
func (m *module) codeSection() {
	n := m.count(m.limits.Functions, "function bodies")
	if n != m.defined() {
		m.fail(Malformed, "%d functions declared, %d bodies", m.defined(), n)
		return
	}
	m.functions = make([]function, n)
	var labels []label
	var j joins
	for i := range m.functions {
		at := m.pos
		size := m.u32()
		if int64(size) > int64(m.limits.BodyBytes) {
			m.failAt(at, OverLimit, "function %d has %d bytes of code, the limit is %d: split it into smaller functions", int(m.importedFuncs)+i, size, m.limits.BodyBytes)
			return
		}
		outer := m.enter(size)
		labels = m.scan(&m.functions[i], m.types[m.funcTypes[int(m.importedFuncs)+i]], labels[:0], &j)
		m.leave(outer, "function body")
		if m.err != nil {
			return
		}
	}
}

// label is an open block, loop, if, else or function.
type label struct {
	op   byte // 0 for the function
	loop int32
}

// scan checks one body and records what classify needs. labels and j are scratch
// space.
func (m *module) scan(f *function, typ FuncType, labels []label, j *joins) []label {
	m.declaredLocals(f, typ)
	f.start, f.end = int32(m.pos), int32(m.end)
	j.reset(int(f.locals))

	labels = append(labels, label{})
	block := int32(0)
	for m.more() {
		at := m.pos
		if len(labels) == 0 {
			m.fail(Malformed, "instructions after the end of a function")
			break
		}
		in := m.instruction()
		if m.err != nil {
			break
		}
		f.ops++
		if in.yields() {
			f.results(1)
		}
		if in.writesTable() {
			m.result.WritesTables = true
		}
		if in.endsBlock() {
			block++
		}
		switch in.op {
		case opBlock, opLoop, opIf:
			if t := int32(in.arg); t >= 0 && uint32(t) >= m.ownTypes {
				m.failAt(at, Malformed, "type %d does not exist", t)
			}
			if len(labels) > m.limits.Nesting {
				m.failAt(at, OverLimit, "blocks nested more than %d deep: split the function into smaller ones", m.limits.Nesting)
			}
			if in.op == opLoop {
				f.loops++
			}
			labels = append(labels, label{op: in.op})
			j.open(f.ops)
			f.joins(m.blockValues(&in))
		case opElse:
			if top := &labels[len(labels)-1]; top.op != opIf {
				m.failAt(at, Malformed, "else without if")
			} else {
				top.op = opElse
			}
		case opEnd:
			labels = labels[:len(labels)-1]
			if len(labels) > 0 {
				f.joins(j.close())
			}
		case opBr, opBrIf:
			m.checkLabel(at, in.arg, labels)
		case opBrTable:
			m.checkTable(at, &in, labels)
		case opCall, opRefFunc:
			switch {
			case int64(in.arg) >= int64(len(m.funcTypes)):
				m.failAt(at, Malformed, "function %d does not exist", in.arg)
			case in.op == opCall:
				f.addCall(call{in.arg, block})
				f.results(len(m.types[m.funcTypes[in.arg]].Results))
			default:
				m.taken[in.arg] = true
			}
		case opCallIndirect:
			if in.arg >= m.ownTypes {
				m.failAt(at, Malformed, "type %d does not exist", in.arg)
				break
			}
			f.addCall(call{indirectCall, block})
			f.results(len(m.types[in.arg].Results))
		case opLocalGet, opLocalSet, opLocalTee:
			if int64(in.arg) >= int64(f.locals) {
				m.failAt(at, Malformed, "local %d does not exist", in.arg)
			}
			if in.op != opLocalGet && m.err == nil {
				j.write(in.arg, f.ops)
			}
		case opGlobalGet, opGlobalSet:
			if in.arg >= m.globals {
				m.failAt(at, Malformed, "global %d does not exist", in.arg)
			}
		}
		if _, ok := in.bulk(); ok {
			f.bulk = true
		}
	}
	if m.err == nil && len(labels) != 0 {
		m.fail(Malformed, "a function without an end")
	}
	if f.loops > 0 || f.ops > smallCost || f.bulk {
		f.calls = nil
	}
	return labels
}

// maxValues bounds what is counted of one function, far above what compiles.
const maxValues = 1 << 24

func (f *function) results(n int) { f.values = min(f.values+int32(n), maxValues) }

func (f *function) joins(n int32) { f.phis = min(f.phis+n, maxValues) }

// blockValues is how many values a block takes and leaves.
func (m *module) blockValues(in *instruction) int32 {
	switch t := int32(in.arg); {
	case t == typeEmpty-0x80:
		return 0
	case t < 0:
		return 1
	case uint32(t) < m.ownTypes:
		return int32(len(m.types[t].Params) + len(m.types[t].Results))
	}
	return 0 // refused
}

// declaredLocals reads the declaration of locals.
func (m *module) declaredLocals(f *function, typ FuncType) {
	at := m.pos
	total := int64(len(typ.Params))
	for n := m.count(m.end, "runs of locals"); n > 0; n-- {
		r := run{n: m.u32(), typ: m.valueType()}
		total += int64(r.n)
		switch last := len(f.runs) - 1; {
		case r.n == 0:
		case last >= 0 && f.runs[last].typ == r.typ:
			f.runs[last].n += r.n
		default:
			f.runs = append(f.runs, r)
		}
		if total > int64(m.limits.Locals) {
			m.failAt(at, OverLimit, "a function with more than %d locals: split it into smaller functions", m.limits.Locals)
			return
		}
	}
	f.locals = int32(total)
	if m.locals += int(total); m.locals > m.limits.LocalsTotal {
		m.failAt(at, OverLimit, "more than %d locals in all functions: build with optimisation", m.limits.LocalsTotal)
	}
}

func (m *module) checkLabel(at int, depth uint32, labels []label) {
	if int64(depth) >= int64(len(labels)) {
		m.failAt(at, Malformed, "branch to label %d of %d", depth, len(labels))
	}
}

func (m *module) checkTable(at int, in *instruction, labels []label) {
	if m.targets += int(in.arg) + 1; int64(in.arg) >= int64(m.limits.BranchTargets) || m.targets > m.limits.BranchTotal {
		m.failAt(at, OverLimit, "br_table targets: more than %d in one or %d in all: split large switch statements", m.limits.BranchTargets, m.limits.BranchTotal)
	}
	for l := range in.labels(m.b) {
		m.checkLabel(at, l, labels)
	}
}

// addCall records a call while the function is small enough for it to matter.
func (f *function) addCall(c call) {
	if f.ops <= smallCost && f.loops == 0 {
		f.calls = append(f.calls, c)
	}
}
