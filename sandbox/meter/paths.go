package meter

// loop is what the emitter needs to know about a loop.
type loop struct {
	from, to int  // its loop instruction and its end
	back     int  // branches to it
	header   bool // check at the header: it has parameters, or br_table branches to it
	inner    bool // contains no other loop
	plain    bool // contains nothing that keeps it from being unrolled
	copies   int  // how often its body is written
	cost     int  // most expensive way from the header to a branch back
}

// decode fills b.ins and b.loops from a scanned function.
func (b *body) decode() {
	b.ins, b.loops, b.unbounded = b.ins[:0], b.loops[:0], false
	r := &reader{b: b.m.b, pos: int(b.f.start), end: int(b.f.end)}
	open := b.open[:0]
	loops := b.nest[:0] // indices of the open loops
	for r.more() {
		in := r.instruction()
		i := len(b.ins)
		b.ins = append(b.ins, in)
		switch in.op {
		case opBlock, opIf:
			open = append(open, label{op: in.op, loop: -1})
		case opLoop:
			l := loop{from: i, inner: true, plain: true, copies: 1}
			if t := int32(in.arg); t >= 0 && b.m.types[t].Params != "" {
				l.header = true
			}
			if len(loops) > 0 {
				b.loops[loops[len(loops)-1]].inner = false
			}
			open = append(open, label{op: in.op, loop: int32(len(b.loops))})
			loops = append(loops, len(b.loops))
			b.loops = append(b.loops, l)
		case opEnd:
			if len(open) == 0 {
				continue
			}
			if open[len(open)-1].op == opLoop {
				b.loops[loops[len(loops)-1]].to = i
				loops = loops[:len(loops)-1]
			}
			open = open[:len(open)-1]
		case opBr, opBrIf:
			if l := b.loopAt(open, in.arg); l != nil {
				l.back++
			}
		case opBrTable:
			for depth := range in.labels(b.m.b) {
				if l := b.loopAt(open, depth); l != nil {
					l.header = true
				}
			}
		}
		unbounded := b.m.unbounded(&in)
		b.unbounded = b.unbounded || unbounded
		_, bulk := in.bulk()
		if len(loops) > 0 && (unbounded || bulk || in.op == opBrTable || in.op == opReturn) {
			b.loops[loops[len(loops)-1]].plain = false
		}
	}
	b.open, b.nest = open, loops
}

// loopAt is the loop that a branch of the given depth continues, or nil.
func (b *body) loopAt(open []label, depth uint32) *loop {
	if i := len(open) - 1 - int(depth); i >= 0 && open[i].op == opLoop {
		return &b.loops[open[i].loop]
	}
	return nil
}

// way is what is known where control is, whichever way it got there: no way has
// more to pay, or went further without a look at the fuel.
type way struct {
	cost int // still to be paid
	far  int // cost since the last look at the fuel
	tail int // the same since an unbounded call returned, if none was made: none
	dead bool
}

// none is the tail of a way without a call since the last look at the fuel.
const none = -1

// nowhere is where control cannot be.
var nowhere = way{tail: none, dead: true}

// meet is the way behind a place where two ways meet.
func (w way) meet(v way) way {
	switch {
	case w.dead:
		return v
	case v.dead:
		return w
	}
	return way{cost: max(w.cost, v.cost), far: max(w.far, v.far), tail: max(w.tail, v.tail)}
}

// after is the way behind an instruction that costs c.
func (w way) after(c int) way {
	w.cost, w.far = w.cost+c, w.far+c
	if w.tail != none {
		w.tail += c
	}
	return w
}

// point is an open construct on the way through paths.
type point struct {
	op       byte
	loop     int
	join     way // from the branches to its end so far
	entry    way // of an if, before its first branch
	owed     int // before the loops around it, to be paid behind them
	unrolled bool
}

// paths decides where the function pays. It sets what each instruction pays before
// it is done, and the charge of each branch back to a loop: the most expensive way
// from the loop's header to that branch, less what was paid on it. It returns what
// is to be paid at the entry. Control flow is structured, so one pass suffices.
//
// A straight line pays at its start or its end. Where ways part or meet, all but
// payCost is paid, so that no way pays much for another. Whoever went lookCost, or
// tailCost behind a call, looks at the fuel as well.
func (b *body) paths() int {
	stack := append(b.stack[:0], point{join: nowhere})
	loops, entry := 0, 0
	at := way{tail: none}
	straight := true // only one way leads here, from the entry
	branch := func(in *instruction, depth uint32) {
		if at.dead {
			return
		}
		p := &stack[len(stack)-1-int(depth)]
		out := at
		out.cost += stack[len(stack)-1].owed - p.owed
		if p.op != opLoop {
			p.join = p.join.meet(out)
			return
		}
		c := out.cost + backEdgeCost
		in.charge = max(in.charge, int32(min(c, maxCharge)))
		b.loops[p.loop].cost = max(b.loops[p.loop].cost, c)
	}
	for i := range b.ins {
		in := &b.ins[i]
		in.charge, in.pay, in.look = 1, 0, false
		top := &stack[len(stack)-1]
		cost := b.m.cost(in)
		if b.f.class == eager && !at.dead && !top.unrolled {
			next := at.after(cost)
			look := next.far > lookCost && at.far > 0 || next.tail > tailCost && at.tail > 0
			switch {
			case look:
				in.pay, in.look = int32(min(at.cost, maxCharge)), true
				at, straight = way{tail: none}, false
			case at.cost > payCost && b.parts(in, top, stack):
				if straight {
					entry += at.cost
				} else {
					in.pay = int32(min(at.cost, maxCharge))
				}
				at.cost = 0
			}
		}
		at = at.after(cost)
		switch {
		case !b.m.unbounded(in):
		case in.op == opCall && in.arg >= b.m.importedFuncs && b.m.callee(in.arg).class == eager: // looked at its entry
			at.far, at.tail = 0, 0
		default:
			at.tail = max(at.tail, 0)
		}
		if in.endsBlock() && in.op != opBlock {
			straight = false
		}
		switch in.op {
		case opUnreachable:
			at = nowhere
		case opBlock:
			stack = append(stack, point{op: in.op, join: nowhere, owed: top.owed, unrolled: top.unrolled})
		case opLoop:
			l := &b.loops[loops]
			l.cost = 1
			if l.copies > 1 && !at.dead {
				// Iterations in copies that are left early are never charged
				// at the branch back, so they are charged in advance.
				for k := l.from; k < l.to; k++ {
					at = at.after((l.copies - 1) * (b.m.cost(&b.ins[k]) + backEdgeCost))
				}
			}
			if l.header || l.back > 0 { // looks at the fuel
				at.far, at.tail = 0, none
			}
			stack = append(stack, point{op: in.op, loop: loops, join: nowhere, owed: top.owed + at.cost, unrolled: top.unrolled || l.copies > 1})
			at.cost = 0
			loops++
		case opIf:
			stack = append(stack, point{op: in.op, join: nowhere, entry: at, owed: top.owed, unrolled: top.unrolled})
		case opElse:
			top.op = opElse
			top.join = top.join.meet(at)
			at = top.entry
		case opEnd:
			p := *top
			stack = stack[:len(stack)-1]
			switch {
			case p.op == opIf:
				p.join = p.join.meet(p.entry)
			case p.op == opLoop && !at.dead:
				at.cost += p.owed - stack[len(stack)-1].owed
			}
			at = at.meet(p.join)
		case opBr:
			branch(in, in.arg)
			at = nowhere
		case opBrIf:
			branch(in, in.arg)
		case opBrTable:
			for depth := range in.labels(b.m.b) {
				branch(in, depth)
			}
			at = nowhere
		case opReturn:
			branch(in, uint32(len(stack)-1))
			at = nowhere
		}
	}
	b.stack = stack
	return max(entry+at.cost, 1)
}

// parts tells whether ways part or meet at an instruction within top, or others
// are called that do not return soon. A branch back to a loop pays for itself.
func (b *body) parts(in *instruction, top *point, stack []point) bool {
	switch in.op {
	case opIf, opElse, opLoop, opBrTable, opReturn:
		return true
	case opBr, opBrIf:
		return stack[len(stack)-1-int(in.arg)].op != opLoop
	case opEnd:
		return top.op == opIf || top.op != opLoop && !top.join.dead
	}
	return b.m.unbounded(in)
}
