package meter

// The engine's compiler is fast on what compilers write and slow, beyond any
// limit on sizes, on what an attacker can write: some of its passes take time or
// memory that grows with a product of two or three properties of a function. An
// estimator adds those products up, with the factors that modules made of
// nothing else showed with wazero 1.12.0 (TestCompilingIsBounded).
//
// Work is counted in thousandths. A whole unit is roughly 0.5 us of compile time
// and at most 400 bytes of memory.
const (
	workFunction    = 16_000 // a function
	workInstruction = 1_000  // most instructions
	workControl     = 8_000  // a block, loop, if, else, end or branch
	workCall        = 5_000  // a call
	workIndirect    = 40_000 // an indirect call
	workArgument    = 1_000  // a value passed to or from a call, or with a branch
	workMemory      = 12_000 // a load or store, with its bounds check
	workTable       = 12_000 // table.get, table.set
	workDivision    = 10_000 // an integer division, with its traps
	workTruncation  = 32_000 // a float to integer conversion, with its traps
	workVector      = 10_000 // a vector instruction
	workBulk        = 50_000 // a bulk instruction

	// Products, per function.
	workDominator = 120 // blocks and branches x depth in the dominator tree: it is climbed from each
	workLive      = 400 // blocks x values alive: liveness, and the definitions kept per block
	workBounds    = 160 // blocks x addresses known to be in bounds there
	workLookup    = 60  // reads of a local x blocks since the last join: the search for its definition
	workJoining   = 8   // branches x locals x locals x nested loops: removal of needless joins
)

// estimator computes the work of compiling functions. It reads the rewritten
// instructions, so that it counts what the meter adds.
type estimator struct {
	m      *module
	open   []openBlock
	block  int     // basic blocks so far, of all functions
	locals []local // of the current function, with what is left of earlier ones
}

// local is what is known of a local. Those that are read only in the basic block
// that wrote them cost nothing beyond it, and unoptimised code is full of them.
type local struct {
	block   int // last basic block that wrote or read it
	crosses int // last basic block that read it without having written it
}

// openBlock is an open block, loop, if, else or function.
type openBlock struct {
	op      byte
	dead    bool // opened where control cannot be
	joined  bool // control leads to its end by a branch
	base    int  // height of the stack below its parameters
	params  int
	results int
	entry   place // where it starts; an else starts where its if did
	join    place // bound on where it ends, from the branches there
}

// place bounds two properties of a basic block from above. Both hold on every way
// to the block, so that where ways meet the smaller bound counts.
type place struct {
	depth int // in the dominator tree
	safe  int // addresses known to be in bounds
}

func (p place) meet(q place) place {
	return place{min(p.depth, q.depth), min(p.safe, q.safe)}
}

// reach notes a way to the end of b.
func (b *openBlock) reach(p place) {
	if b.joined {
		p = p.meet(b.join)
	}
	b.joined, b.join = true, p
}

// function returns the work of compiling a function.
func (e *estimator) function(typ FuncType, locals int, code []byte) int64 {
	if n := locals - len(e.locals); n > 0 {
		e.locals = append(e.locals, make([]local, n)...)
	}
	e.block++
	first := e.block // block of this function
	r := newReader(code)
	var (
		work = float64(workFunction)

		blocks, branches, alive float64

		crossing float64 // locals read in another basic block than they were written in

		at     place // the current basic block
		height int   // of the stack
		chain  int   // blocks since the last join
		loops  int   // open loops
		nested int   // most loops open at once
		dead   bool  // control cannot be here
	)
	open := append(e.open[:0], openBlock{results: len(typ.Results)})

	block := func() { // a basic block starts
		e.block++
		blocks++
		chain++
		at.depth++
		alive += float64(height)
		work += workDominator*float64(at.depth) + workBounds*float64(at.safe)
	}
	branch := func(to uint32) {
		b := &open[len(open)-1-int(to)]
		branches++
		work += workDominator * float64(at.depth)
		if b.op == opLoop {
			work += workArgument * float64(b.params)
			return
		}
		work += workArgument * float64(b.results)
		b.reach(at)
	}
	for r.more() {
		in := r.instruction()
		if dead {
			// The compiler skips it, but its blocks have to be followed.
			switch in.op {
			case opBlock, opLoop, opIf:
				open = append(open, openBlock{op: opBlock, dead: true})
				continue
			case opElse, opEnd:
			default:
				continue
			}
		}
		work += in.work()
		pop, push := e.effect(&in)
		height += push - pop
		switch in.op {
		case opBlock, opLoop, opIf:
			b := openBlock{op: in.op, base: height, entry: at}
			if t := int32(in.arg); t >= 0 {
				b.params, b.results = len(e.m.types[t].Params), len(e.m.types[t].Results)
			} else if t != typeEmpty-0x80 {
				b.results = 1
			}
			b.base -= b.params
			work += workArgument * float64(b.params+b.results)
			open = append(open, b)
			if in.op == opLoop {
				loops++
				nested = max(nested, loops)
				block()
				chain = 0
			} else if in.op == opIf {
				block()
			}
		case opElse:
			b := &open[len(open)-1]
			if !dead {
				branch(0)
			}
			b.op = opElse
			height, at, dead = b.base+b.params, b.entry, b.dead
			if !dead {
				block()
			}
		case opEnd:
			b := open[len(open)-1]
			open = open[:len(open)-1]
			if b.op == opIf && !b.dead { // the way around it
				b.reach(b.entry)
				branches++
			}
			if b.op == opLoop {
				loops--
			}
			switch {
			case b.joined && dead:
				at, dead = b.join, false
			case b.joined:
				at = at.meet(b.join)
			}
			height = b.base + b.results
			if !dead {
				block()
			}
			if b.joined {
				chain = 0
			}
		case opBrTable:
			from := at
			for to := range in.labels(code) { // each gets a block of its own
				at = from
				block()
				branch(to)
			}
		case opBr:
			branch(in.arg)
		case opBrIf:
			branch(in.arg)
			block()
		case opReturn:
			branch(uint32(len(open) - 1))
		case opLocalGet, opLocalSet, opLocalTee:
			l := &e.locals[in.arg]
			if in.op == opLocalGet && l.block != e.block {
				work += workLookup * float64(chain)
				if l.crosses < first {
					crossing++
				}
				l.crosses = e.block
			}
			l.block = e.block
		case opCall, opCallIndirect:
			work += workArgument * float64(pop+push)
		case opBulk:
			if in.sub == bulkMemoryFill || in.sub == bulkTableFill { // become loops
				block()
				block()
				block()
			}
		}
		if in.accessesMemory() {
			at.safe++
		}
		switch in.op {
		case opUnreachable, opBr, opBrTable, opReturn:
			dead = true
		}
	}
	e.open = open
	work += workLive * (blocks*crossing + alive)
	work += workJoining * branches * crossing * crossing * float64(1+nested)
	return int64(min(work/1000, 1<<60))
}

// effect is how many values an instruction takes from the stack and leaves there.
func (e *estimator) effect(in *instruction) (pop, push int) {
	switch in.op {
	case opCall:
		t := e.m.typeOfShifted(in.arg)
		return len(t.Params), len(t.Results)
	case opCallIndirect:
		t := e.m.types[in.arg]
		return len(t.Params) + 1, len(t.Results)
	}
	return 0, in.stackChange()
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
