package meter

// get pushes the fuel.
func (b *body) get() {
	if b.cached {
		b.op(opLocalGet, b.fuel)
	} else {
		b.op(opGlobalGet, b.fuel)
	}
}

// set pops the fuel.
func (b *body) set() {
	if b.cached {
		b.op(opLocalSet, b.fuel)
	} else {
		b.op(opGlobalSet, b.fuel)
	}
}

// less pushes the fuel without a constant.
func (b *body) less(c int) {
	b.get()
	b.constant(max(1, min(c, maxCharge)))
	b.out = append(b.out, opI32Sub)
}

// charge takes a constant from the fuel.
func (b *body) charge(c int) {
	b.less(c)
	b.set()
}

// chargeAndGet takes a constant from the fuel and pushes what is left. The copy in a
// local saves the engine from reading back what it has just written.
func (b *body) chargeAndGet(c int) {
	if b.cached {
		b.charge(c)
		b.get()
		return
	}
	b.left = true
	b.less(c)
	b.op(opLocalTee, b.spare-1)
	b.set()
	b.op(opLocalGet, b.spare-1)
}

// chargeAndCheck is charge and check.
func (b *body) chargeAndCheck(c int) {
	b.chargeAndGet(c)
	b.refuel()
}

// chargeOperand charges for the operand on top of the stack and looks at the
// fuel, before the instruction that takes the operand. Operands that no memory
// or table is large enough for make the instruction fail at once, so that their
// upper bits need not count; counted, they would wrap the fuel around.
func (b *body) chargeOperand(shift int32) {
	b.spared = true
	b.op(opLocalSet, b.spare)
	b.get()
	b.op(opLocalGet, b.spare)
	if shift > 0 {
		b.constant(int(shift))
		b.out = append(b.out, opI32ShrU)
	}
	b.constant(maxCharge - 1)
	b.out = append(b.out, opI32And, opI32Sub)
	b.set()
	b.check()
	b.op(opLocalGet, b.spare)
}

// check asks the host for fuel when there is none left.
func (b *body) check() {
	b.get()
	b.refuel()
}

// refuel pops the fuel and asks the host for more when it is none.
func (b *body) refuel() {
	b.out = append(b.out, opI32Const, 0, opI32LtS, opIf, typeEmpty)
	b.get()
	b.op(opCall, b.m.importedFuncs)
	b.set()
	b.out = append(b.out, opEnd)
}
