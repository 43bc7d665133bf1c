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

// point is an open construct on the way through paths.
type point struct {
	op    byte
	loop  int
	join  int // cost of the most expensive branch to its end so far, or dead
	entry int // cost at its header; for an if, before its first branch
}

// dead is the cost where control cannot be.
const dead = -1

// paths computes the cost of the most expensive way through the function, with
// the iterations of loops left out, and sets the charge of each branch back to a
// loop: the most expensive way from the loop's header to that branch. Control
// flow is structured, so one pass suffices.
func (b *body) paths() int {
	stack := append(b.stack[:0], point{join: dead})
	cost, loops := 0, 0
	branch := func(in *instruction, depth uint32) {
		if cost == dead {
			return
		}
		p := &stack[len(stack)-1-int(depth)]
		if p.op != opLoop {
			p.join = max(p.join, cost)
			return
		}
		c := cost - p.entry + backEdgeCost
		in.charge = max(in.charge, int32(min(c, maxCharge)))
		b.loops[p.loop].cost = max(b.loops[p.loop].cost, c)
	}
	for i := range b.ins {
		in := &b.ins[i]
		in.charge = 1
		if cost != dead {
			cost += b.m.cost(in)
		}
		switch in.op {
		case opUnreachable:
			cost = dead
		case opBlock:
			stack = append(stack, point{op: in.op, join: dead})
		case opLoop:
			l := &b.loops[loops]
			l.cost = 1
			if l.copies > 1 && cost != dead {
				// Iterations in copies that are left early are never charged
				// at the branch back, so they are charged in advance.
				for k := l.from; k < l.to; k++ {
					cost += (l.copies - 1) * (b.m.cost(&b.ins[k]) + backEdgeCost)
				}
			}
			stack = append(stack, point{op: in.op, loop: loops, join: dead, entry: cost})
			loops++
		case opIf:
			stack = append(stack, point{op: in.op, join: dead, entry: cost})
		case opElse:
			p := &stack[len(stack)-1]
			p.op = opElse
			p.join = max(p.join, cost)
			cost = p.entry
		case opEnd:
			p := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if p.op == opIf {
				p.join = max(p.join, p.entry)
			}
			cost = max(cost, p.join)
		case opBr:
			branch(in, in.arg)
			cost = dead
		case opBrIf:
			branch(in, in.arg)
		case opBrTable:
			for depth := range in.labels(b.m.b) {
				branch(in, depth)
			}
			cost = dead
		case opReturn:
			branch(in, uint32(len(stack)-1))
			cost = dead
		}
	}
	b.stack = stack
	return max(cost, 1)
}
