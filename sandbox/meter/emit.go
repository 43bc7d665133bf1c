package meter

// body writes one function anew. It is reused from function to function for its
// buffers.
type body struct {
	m         *module
	f         *function
	typ       FuncType
	ins       []instruction
	loops     []loop
	unbounded bool // makes calls that are not bounded

	out   []byte
	depth int     // open blocks in the output
	frame []frame // open blocks of the input

	cached   bool   // the fuel is in a local
	fuel     uint32 // that local, or the fuel global
	spare    uint32 // the first of three locals for the operands of a bulk instruction
	spared   bool   // spare is used
	left     bool   // the local before spare is used, for a copy of the fuel
	fresh    bool   // the next instruction starts a basic block
	nextLoop int

	open  []label
	nest  []int
	stack []point
}

// frame is an open block of the input.
type frame struct {
	loop  int // index of the loop, or -1
	level int // depth of its label in the output
	outer int // of a loop: depth of the label with the check, or 0
}

// Unrolling: an innermost loop of up to unrollOps instructions is written up to
// maxCopies times and looks at the fuel once per round, as long as all copies
// together stay within unrolledOps.
const (
	maxCopies   = 4
	unrollOps   = 60
	unrolledOps = 80
)

// code writes the code section.
func (m *module) code() []byte {
	if len(m.functions) == 0 {
		return nil
	}
	var out []byte
	b := &body{m: m}
	e := &estimator{m: m}
	total := int64(0)
	for i := range m.functions {
		f := &m.functions[i]
		b.f, b.typ = f, m.types[m.funcTypes[int(m.importedFuncs)+i]]
		b.write()
		var header []byte
		runs := f.runs
		if n := b.extraLocals(); n > 0 {
			runs = append(runs[:len(runs):len(runs)], run{n, typeI32})
		}
		header = appendU32(header, uint32(len(runs)))
		for _, r := range runs {
			header = append(appendU32(header, r.n), r.typ)
		}
		work := e.function(b.typ, int(f.locals)+int(b.extraLocals()), b.out)
		total += work
		if work > m.limits.FunctionWork {
			m.failAt(int(f.start), OverLimit, "function %d would take too long to compile (%d of %d units): build with optimisation, or split it into smaller functions", int(m.importedFuncs)+i, work, m.limits.FunctionWork)
		}
		if total > m.limits.Work {
			m.failAt(int(f.start), OverLimit, "the module would take too long to compile (over %d units): build with optimisation, and without what the function does not use", m.limits.Work)
		}
		if m.err != nil {
			return nil
		}
		out = appendU32(out, uint32(len(header)+len(b.out)))
		out = append(append(out, header...), b.out...)
	}
	if m.split {
		for i := range splits {
			code := append([]byte{1, 1, typeI32}, m.splitCode(i)...)
			out = appendBytes(out, code)
		}
	}
	return append(appendU32(make([]byte, 0, len(out)+5), uint32(len(m.functions)+m.appended())), out...)
}

// appended is how many functions the output has beyond the input's.
func (m *module) appended() int {
	if m.split {
		return splits
	}
	return 0
}

func (b *body) extraLocals() uint32 {
	switch {
	case b.spared:
		return 4
	case b.cached, b.left:
		return 1
	}
	return 0
}

// write writes the instructions of b.f to b.out.
func (b *body) write() {
	b.decode()
	b.out, b.depth, b.nextLoop, b.spared, b.left = b.out[:0], 0, 0, false, false
	b.frame = append(b.frame[:0], frame{loop: -1})
	if b.f.class == bounded {
		b.cached = false
		for i := range b.ins {
			b.copy(&b.ins[i])
		}
		return
	}
	b.unroll()
	total := min(b.paths()+b.f.frameCost(), maxCharge)

	// Nothing else changes the fuel while a function without unbounded calls
	// runs, so that its loops can keep it in a local.
	b.cached = len(b.loops) > 0 && !b.unbounded
	b.spare = uint32(b.f.locals) + 1
	b.fuel = b.m.globals
	switch {
	case b.cached:
		b.op(opGlobalGet, b.m.globals)
		b.fuel = uint32(b.f.locals)
		b.constant(total)
		b.out = append(b.out, opI32Sub)
		b.set()
		b.check()
		// Every way out ends at the end of this block, where the fuel is
		// stored back.
		b.out = append(b.out, opBlock)
		switch len(b.typ.Results) {
		case 0:
			b.out = append(b.out, typeEmpty)
		case 1:
			b.out = append(b.out, b.typ.Results[0])
		default:
			b.out = appendS64(b.out, int64(b.m.typeOf(FuncType{Results: b.typ.Results})))
		}
		b.depth++
		b.frame[0].level = 1
	case b.f.class == eager:
		b.chargeAndCheck(total)
	}
	b.fresh = true
	b.emit(0, len(b.ins))
}

// unroll decides which loops are unrolled.
func (b *body) unroll() {
	for i := range b.loops {
		l := &b.loops[i]
		n := l.to - l.from
		if !l.inner || !l.plain || l.header || l.back == 0 || n > unrollOps {
			continue
		}
		for l.copies = maxCopies; l.copies > 1 && n*l.copies > unrolledOps; l.copies /= 2 {
		}
	}
}

// emit writes the instructions from..to-1.
func (b *body) emit(from, to int) {
	for i := from; i < to; i++ {
		in := &b.ins[i]
		if b.fresh && b.f.class == lazy {
			if c := b.blockCost(i); c > 0 {
				b.chargeAndCheck(c)
			}
		}
		b.fresh = in.endsBlock()
		switch {
		case in.look:
			b.chargeAndCheck(int(in.pay))
		case in.pay > 0:
			b.charge(int(in.pay))
		}
		switch in.op {
		case opBlock, opIf:
			b.copy(in)
			b.depth++
			b.frame = append(b.frame, frame{loop: -1, level: b.depth})
		case opLoop:
			i = b.loop(in)
		case opEnd:
			b.end()
		case opReturn:
			if b.cached {
				b.branch(opBr, b.frame[0].level)
			} else {
				b.copy(in)
			}
		case opBr, opBrIf:
			b.branchTo(in)
		case opBrTable:
			b.out = appendU32(append(b.out, opBrTable), in.arg)
			for depth := range in.labels(b.m.b) {
				b.out = appendU32(b.out, uint32(b.depth-b.target(depth).level))
			}
		default:
			if split, ok := in.splitOf(); ok {
				b.orSplit(in, split)
				continue
			}
			if shift, ok := in.bulk(); ok {
				b.chargeOperand(shift)
			}
			b.copy(in)
		}
	}
}

// loop opens a loop, or writes all of it when it is unrolled. It returns the
// index of the last instruction written.
//
// Most loops become two, so that the check is outside of the inner one and the
// engine keeps values in registers there:
//
//	loop outer; check; loop inner; body; end; end
//
// where a branch back becomes "charge; br_if inner when fuel is left; br outer".
func (b *body) loop(in *instruction) int {
	n := b.nextLoop
	b.nextLoop++
	l := &b.loops[n]
	fr := frame{loop: n}
	if l.copies > 1 {
		b.unrolled(in, l, fr)
		return l.to
	}
	b.copy(in)
	b.depth++
	switch {
	case l.header:
		b.chargeAndCheck(l.cost)
	case l.back > 0:
		fr.outer = b.depth
		b.check()
		b.copy(in)
		b.depth++
	}
	fr.level = b.depth
	b.frame = append(b.frame, fr)
	return l.from
}

// unrolled writes a loop with several copies of its body:
//
//	block exit; loop outer; check; loop inner
//	  block; body; br exit; end   all copies but the last; to continue leaves the block
//	  body
//	end; end; end
func (b *body) unrolled(in *instruction, l *loop, fr frame) {
	in.op = opBlock
	b.copy(in)
	in.op = opLoop
	b.depth++
	exit := b.depth
	b.copy(in)
	b.depth++
	fr.outer = b.depth
	b.check()
	b.copy(in)
	b.depth++
	fr.level = b.depth
	for range l.copies - 1 {
		b.out = append(b.out, opBlock, typeEmpty)
		b.depth++
		b.frame = append(b.frame, frame{loop: -1, level: b.depth})
		b.emit(l.from+1, l.to)
		b.frame = b.frame[:len(b.frame)-1]
		b.branch(opBr, exit)
		b.out = append(b.out, opEnd)
		b.depth--
	}
	b.frame = append(b.frame, fr)
	b.emit(l.from+1, l.to)
	b.frame = b.frame[:len(b.frame)-1]
	b.out = append(b.out, opEnd, opEnd, opEnd)
	b.depth -= 3
}

// end closes the innermost frame.
func (b *body) end() {
	fr := b.frame[len(b.frame)-1]
	b.frame = b.frame[:len(b.frame)-1]
	b.out = append(b.out, opEnd)
	switch {
	case len(b.frame) == 0 && b.cached:
		b.op(opLocalGet, b.fuel)
		b.op(opGlobalSet, b.m.globals)
		b.out = append(b.out, opEnd)
	case len(b.frame) == 0:
	default:
		b.depth--
		if fr.outer > 0 {
			b.out = append(b.out, opEnd)
			b.depth--
		}
	}
}

// branchTo writes br or br_if.
func (b *body) branchTo(in *instruction) {
	t := b.target(in.arg)
	if t.outer == 0 {
		b.branch(in.op, t.level)
		return
	}
	if in.op == opBrIf {
		b.out = append(b.out, opIf, typeEmpty)
		b.depth++
	}
	l := &b.loops[t.loop]
	c := int(in.charge)
	if l.copies > 1 {
		c = l.cost * l.copies
	}
	b.chargeAndGet(c)
	b.out = append(b.out, opI32Const, 0, opI32GeS)
	b.branch(opBrIf, t.level)
	b.branch(opBr, t.outer)
	if in.op == opBrIf {
		b.out = append(b.out, opEnd)
		b.depth--
	}
}

func (b *body) target(depth uint32) *frame { return &b.frame[len(b.frame)-1-int(depth)] }

// branch writes a branch to the label at level.
func (b *body) branch(op byte, level int) { b.op(op, uint32(b.depth-level)) }

// blockCost is what a lazy function charges in the basic block that starts at
// instruction i: nothing without unbounded calls.
func (b *body) blockCost(i int) int {
	cost, any := 0, false
	for ; i < len(b.ins) && !b.ins[i].endsBlock(); i++ {
		if in := &b.ins[i]; b.m.unbounded(in) {
			any = true
			cost += b.m.cost(in)
		} else {
			cost++
		}
	}
	if !any {
		return 0
	}
	return cost
}

// copy writes an instruction of the input.
func (b *body) copy(in *instruction) {
	if in.op == opCall || in.op == opRefFunc {
		b.op(in.op, b.m.shifted(in.arg))
		return
	}
	b.out = appendInstruction(b.out, b.m.b, in)
}

func (b *body) op(op byte, arg uint32) { b.out = appendU32(append(b.out, op), arg) }

func (b *body) constant(v int) { b.out = appendS64(append(b.out, opI32Const), int64(v)) }
