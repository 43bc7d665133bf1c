package js

// The glue is what the engine gets besides QuickJS: the two functions that make it a
// handler reactor, and the native functions that the prelude is handed.

// Tags of values. A value is tag<<32 | payload.
const (
	tagString    = -7
	tagObject    = -1
	tagInt       = 0
	tagNull      = 2
	tagUndefined = 3
	tagException = 6
)

const (
	undefined = int64(tagUndefined) << 32
	null      = int64(tagNull) << 32
	exception = int64(tagException) << 32
)

// What port_call is asked for; sandbox/port.go has the other side.
const (
	portNumber    = 0 // run the call, answer with a number
	portText      = 1 // ... with text
	portBytes     = 2 // ... with bytes
	portWait      = 3 // wait for an answer to settle; 0: the invocation is over
	portBoot      = 4 // the script that the engine starts with, as text
	portThrown    = 5 // the engine threw where nothing catches; the text was put
	portDrop      = 6 // forget what was put
	portThreshold = 7 // bytes of objects at which to collect garbage
	portStack     = 8 // bytes of stack that functions of JavaScript may use
	portWhere     = 9 // where the invocation was when it was stopped; the text was put
)

// Kinds of what port_put is given.
const (
	putText  = 0
	putBytes = 1
)

// Evaluation flags of JS_Eval.
const (
	evalGlobal      = 0
	evalModule      = 1
	evalCompileOnly = 1 << 5
)

// Flags of JS_WriteObject and JS_ReadObject.
const (
	writeBytecode    = 1 << 0
	writeStripSource = 1 << 4
	readBytecode     = 1 << 0
)

const functionGenericMagic = 1 // JS_CFUNC_generic_magic

// initialize starts the engine and runs the boot script, once. In an image it has
// been run.
func (l *linker) initialize() []byte {
	const n, p, f, r, sp = 0, 1, 4, 5, 2
	c := l.code()
	c.cell(opI32Load, l.cells+cellReady).block(opIf).op(opReturn, opEnd)
	c.i32(l.cells+cellReady).i32(1).store(opI32Store, 0)
	c.call("_initialize")
	c.i32(l.cells+cellRuntime).call("JS_NewRuntime").store(opI32Store, 0)
	c.i32(l.cells+cellContext).cell(opI32Load, l.cells+cellRuntime).call("JS_NewContext").store(opI32Store, 0)
	c.cell(opI32Load, l.cells+cellContext).op(opI32Eqz).block(opIf).op(opUnreachable, opEnd)
	c.cell(opI32Load, l.cells+cellRuntime).i32(l.tableTrack).i32(0).call("JS_SetHostPromiseRejectionTracker")

	c.i32(portBoot).i32(0).i32(0).call("port_call").tee(n)
	c.i32(1).op(opI32Add).call("malloc").tee(p).op(opI32Eqz).block(opIf).op(opUnreachable, opEnd)
	c.get(p).get(n).call("result_read").op(opDrop)
	c.get(p).get(n).op(opI32Add).i32(0).store(opI32Store8, 0)
	c.cell(opI32Load, l.cells+cellContext).get(p).get(n).i32(l.cells + cellName).i32(evalGlobal | evalCompileOnly).call("JS_Eval").set(f)
	c.get(p).call("free")
	l.thrown(c, f)
	// Functions keep their source text, and those inside of others theirs again:
	// writing the compiled script and reading it back leaves it out.
	c.cell(opI32Load, l.cells+cellContext).i32(l.cells + cellScratch).get(f).i32(writeBytecode | writeStripSource).call("JS_WriteObject").tee(p)
	c.op(opI32Eqz).block(opIf).call("glue_thrown").op(opEnd)
	c.cell(opI32Load, l.cells+cellContext).get(f).call("JS_FreeValue")
	c.cell(opI32Load, l.cells+cellContext).get(p).cell(opI32Load, l.cells+cellScratch).i32(readBytecode).call("JS_ReadObject").set(f)
	c.cell(opI32Load, l.cells+cellContext).get(p).call("js_free")
	l.thrown(c, f)
	c.cell(opI32Load, l.cells+cellContext).get(f).call("JS_EvalFunction").set(f)
	l.thrown(c, f)

	c.getSP().i32(32).op(opI32Sub).tee(sp).setSP()
	for magic := range int32(3) {
		c.get(sp)
		c.cell(opI32Load, l.cells+cellContext).i32(l.tableNative).i32(l.cells + cellName).i32(1).i32(functionGenericMagic).i32(magic).call("JS_NewCFunction2")
		c.store(opI64Store, uint32(magic)*8)
	}
	c.get(sp)
	c.cell(opI32Load, l.cells+cellContext).i32(l.tableLoad).i32(l.cells + cellName).i32(1).i32(functionGenericMagic).i32(0).call("JS_NewCFunction2")
	c.store(opI64Store, 24)
	c.cell(opI32Load, l.cells+cellContext).get(f).i64(undefined).i32(4).get(sp).call("JS_Call").set(r)
	c.get(sp).i32(32).op(opI32Add).setSP()
	l.thrown(c, r)
	for i, at := range []int32{cellStep, cellCheck, cellTrack, cellWaiting} {
		c.i32(l.cells + at)
		c.cell(opI32Load, l.cells+cellContext).get(r).i32(int32(i)).call("JS_GetPropertyUint32")
		c.store(opI64Store, 0)
	}
	c.cell(opI32Load, l.cells+cellContext).get(r).call("JS_FreeValue")
	c.cell(opI32Load, l.cells+cellContext).get(f).call("JS_FreeValue")
	c.i64(undefined).call("glue_run")
	c.cell(opI32Load, l.cells+cellRuntime).call("JS_RunGC") // what is left is the image
	return c.body(4, 2)
}

// handler is handler(ptr, len) -> 0: the result leaves through the port. Numbers
// that look random must not be those of the image.
func (l *linker) handler() []byte {
	const ptr, size, v = 0, 1, 2
	c := l.code()
	c.cell(opI32Load, l.cells+cellRuntime).i32(portThreshold).i32(0).i32(0).call("port_call").call("JS_SetGCThreshold")
	c.i32(newHeap).i32(portStack).i32(0).i32(0).call("port_call").op(opI32Sub).arg(opGlobalSet, stackLimit)
	c.cell(opI32Load, l.cells+cellContext).i32(contextSeed).op(opI32Add).i32(8).call("random_get").op(opDrop)
	c.cell(opI32Load, l.cells+cellContext).get(ptr).get(size).call("JS_NewStringLen").set(v)
	c.get(ptr).call("free")
	l.thrown(c, v)
	c.get(v).call("glue_run")
	c.i64(0)
	return c.body(0, 1)
}

// run is glue_run(event): it calls step, runs the jobs that are ready, calls check,
// and does so again for as long as the host says that there is something to do. It
// frees event.
func (l *linker) run() []byte {
	const event, r, sp, v = 0, 1, 2, 3
	c := l.code()
	context := func() *code { return c.cell(opI32Load, l.cells+cellContext) }
	// call one of the prelude's functions with the value in local arg
	call := func(cell int32, arg uint32) {
		c.getSP().i32(16).op(opI32Sub).tee(sp).setSP()
		c.get(sp).get(arg).store(opI64Store, 0)
		context().cell(opI64Load, l.cells+cell).i64(undefined).i32(1).get(sp).call("JS_Call").set(v)
		c.get(sp).i32(16).op(opI32Add).setSP()
		l.thrown(c, v)
		context().get(v).call("JS_FreeValue")
		context().get(arg).call("JS_FreeValue")
	}
	c.block(opLoop)
	call(cellStep, event)
	c.i64(undefined).set(event)
	c.block(opLoop)
	c.cell(opI32Load, l.cells+cellRuntime).i32(l.cells + cellScratch).call("JS_ExecutePendingJob").tee(r)
	c.i32(0).op(opI32LtS).block(opIf)
	context().call("JS_GetException").set(event)
	call(cellCheck, event) // a job threw
	c.i64(undefined).set(event)
	c.op(opEnd)
	c.get(r).br(opBrIf, 0)
	c.op(opEnd)
	call(cellCheck, event)
	c.i32(portWait).i32(0).i32(0).call("port_call").br(opBrIf, 0)
	c.op(opEnd)
	return c.body(2, 1)
}

// thrown ends the invocation with the exception when the value in a local says that
// there is one.
func (l *linker) thrown(c *code, local uint32) {
	c.get(local).i64(32).op(opI64ShrU, opI32WrapI64).i32(tagException).op(opI32Eq)
	c.block(opIf).call("glue_thrown").op(opEnd)
}

// thrownBody is glue_thrown(): it hands the pending exception to the host, which
// does not return.
func (l *linker) thrownBody() []byte {
	const p = 0
	c := l.code()
	c.cell(opI32Load, l.cells+cellContext).i32(l.cells + cellScratch)
	c.cell(opI32Load, l.cells+cellContext).call("JS_GetException").i32(0).call("JS_ToCStringLen2").tee(p)
	c.block(opIf)
	c.get(p).cell(opI32Load, l.cells+cellScratch).i32(putText).call("port_put").op(opDrop)
	c.op(opEnd)
	c.i32(portThrown).i32(0).i32(0).call("port_call").op(opDrop, opUnreachable)
	return c.body(1, 0)
}

// native is the C function behind the three functions of the port: it puts all its
// arguments, strings and Uint8Arrays, makes the call that its magic says, and
// returns the answer.
func (l *linker) native() []byte {
	const ctx, argc, argv, magic, i, p, n, sp, v = 0, 2, 3, 4, 5, 6, 7, 8, 9
	c := l.code()
	c.getSP().i32(16).op(opI32Sub).tee(sp).setSP()
	c.block(opBlock) // left with an exception
	c.block(opBlock).block(opLoop)
	c.get(i).get(argc).op(opI32GeS).br(opBrIf, 1)
	c.get(argv).get(i).i32(3).op(opI32Shl, opI32Add).load(opI64Load, 0).tee(v)
	c.i64(32).op(opI64ShrU, opI32WrapI64).i32(tagObject).op(opI32Eq).block(opIf)
	c.get(ctx).get(sp).get(v).call("JS_GetUint8Array").tee(p).op(opI32Eqz).br(opBrIf, 3)
	c.get(p).get(sp).load(opI32Load, 0).i32(putBytes).call("port_put").op(opDrop)
	c.op(opElse)
	c.get(ctx).get(sp).get(v).i32(0).call("JS_ToCStringLen2").tee(p).op(opI32Eqz).br(opBrIf, 3)
	c.get(p).get(sp).load(opI32Load, 0).i32(putText).call("port_put").op(opDrop)
	c.get(ctx).get(p).call("JS_FreeCString")
	c.op(opEnd)
	c.get(i).i32(1).op(opI32Add).set(i)
	c.br(opBr, 0).op(opEnd, opEnd)

	c.get(magic).i32(0).i32(0).call("port_call").set(n)
	c.get(sp).i32(16).op(opI32Add).setSP()
	c.get(magic).op(opI32Eqz).block(opIf)
	c.get(n).op(opI64ExtendU, opReturn) // tag 0 is a number
	c.op(opEnd)
	c.get(n).i32(0).op(opI32LtS).block(opIf).i64(undefined).op(opReturn, opEnd)
	c.get(n).i32(1).op(opI32Add).call("malloc").tee(p).op(opI32Eqz).block(opIf)
	c.get(ctx).call("JS_ThrowOutOfMemory").op(opReturn)
	c.op(opEnd)
	c.get(p).get(n).call("result_read").op(opDrop)
	c.get(magic).i32(portText).op(opI32Eq).block(opIf)
	c.get(ctx).get(p).get(n).call("JS_NewStringLen").set(v)
	c.op(opElse)
	c.get(ctx).get(p).get(n).call("JS_NewUint8ArrayCopy").set(v)
	c.op(opEnd)
	c.get(p).call("free")
	c.get(v).op(opReturn)

	c.op(opEnd)
	c.i32(portDrop).i32(0).i32(0).call("port_call").op(opDrop)
	c.get(sp).i32(16).op(opI32Add).setSP()
	c.i64(exception)
	return c.body(4, 1)
}

// loadModule is the C function load(source): it evaluates a module and returns
// [promise, namespace].
func (l *linker) loadModule() []byte {
	const ctx, argv, p, sp, v = 0, 3, 5, 6, 7
	c := l.code()
	c.getSP().i32(16).op(opI32Sub).tee(sp).setSP()
	c.block(opBlock) // left with an exception
	c.get(ctx).get(sp).get(argv).load(opI64Load, 0).i32(0).call("JS_ToCStringLen2").tee(p).op(opI32Eqz).br(opBrIf, 0)
	c.get(ctx).get(p).get(sp).load(opI32Load, 0).i32(l.cells + cellModule).i32(evalModule | evalCompileOnly).call("JS_Eval").set(v)
	c.get(ctx).get(p).call("JS_FreeCString")
	isException := func() {
		c.get(v).i64(32).op(opI64ShrU, opI32WrapI64).i32(tagException).op(opI32Eq).br(opBrIf, 0)
	}
	isException()
	c.get(v).op(opI32WrapI64).set(p)
	c.get(ctx).get(v).call("JS_EvalFunction").set(v)
	isException()
	c.get(sp).get(v).store(opI64Store, 0)
	c.get(sp).get(ctx).get(p).call("JS_GetModuleNamespace").tee(v).store(opI64Store, 8)
	isException()
	c.get(ctx).i32(2).get(sp).call("JS_NewArrayFrom").set(v)
	c.get(sp).i32(16).op(opI32Add).setSP()
	c.get(v).op(opReturn)
	c.op(opEnd)
	c.get(sp).i32(16).op(opI32Add).setSP()
	c.i64(exception)
	return c.body(2, 1)
}

// track tells the prelude that a promise was rejected with nobody to handle it, or
// that somebody came to handle it after all.
func (l *linker) track() []byte {
	const ctx, promise, reason, handled, sp, v = 0, 1, 2, 3, 5, 6
	c := l.code()
	c.cell(opI64Load, l.cells+cellTrack).op(opI32WrapI64, opI32Eqz).block(opIf).op(opReturn, opEnd) // before the prelude is there
	c.getSP().i32(32).op(opI32Sub).tee(sp).setSP()
	c.get(sp).get(promise).store(opI64Store, 0)
	c.get(sp).get(reason).store(opI64Store, 8)
	c.get(sp).get(handled).op(opI64ExtendU).store(opI64Store, 16)
	c.get(ctx).cell(opI64Load, l.cells+cellTrack).i64(undefined).i32(3).get(sp).call("JS_Call").set(v)
	c.get(sp).i32(32).op(opI32Add).setSP()
	c.get(v).i64(32).op(opI64ShrU, opI32WrapI64).i32(tagException).op(opI32Eq).block(opIf)
	c.get(ctx).call("JS_GetException").set(v)
	c.op(opEnd)
	c.get(ctx).get(v).call("JS_FreeValue")
	return c.body(1, 1)
}

// where tells the host what JavaScript was doing. It is called after an invocation
// was stopped, at any instruction, when what is left of the instance is its memory: so
// it may fail in any way. The text is the stack that a new Error has, since the frames
// are still there; the innermost is at its last call. Without any frames, the boot
// script knows what was waited for.
func (l *linker) where() []byte {
	const p, v = 0, 1
	c := l.code()
	context := func() *code { return c.cell(opI32Load, l.cells+cellContext) }
	// tell puts the value in v when it is a string, which takes none of the
	// function's code. p is 0 when it is not.
	tell := func() {
		c.i32(0).set(p)
		c.get(v).i64(32).op(opI64ShrU, opI32WrapI64).i32(tagString).op(opI32Eq).block(opIf)
		context().i32(l.cells + cellScratch).get(v).i32(0).call("JS_ToCStringLen2").tee(p).block(opIf)
		c.get(p).cell(opI32Load, l.cells+cellScratch).i32(putText).call("port_put").op(opDrop)
		c.i32(portWhere).i32(0).i32(0).call("port_call").op(opDrop)
		c.cell(opI32Load, l.cells+cellScratch).set(p)
		c.op(opEnd, opEnd)
	}
	c.cell(opI32Load, l.cells+cellRuntime).i32(-1).call("JS_SetGCThreshold") // objects may be half made
	context().call("JS_NewError").set(v)
	context().get(v).i32(l.cells + cellStack).call("JS_GetPropertyStr").set(v)
	tell()
	c.get(p).op(opI32Eqz).block(opIf)
	context().cell(opI64Load, l.cells+cellWaiting).i64(undefined).i32(0).i32(0).call("JS_Call").set(v)
	tell()
	c.op(opEnd)
	return c.body(1, 1)
}
