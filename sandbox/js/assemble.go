package js

import "github.com/runnelhq/runnel/sandbox/image"

// Instructions that the glue uses.
const (
	opUnreachable  = 0x00
	opNop          = 0x01
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
	opDrop         = 0x1a
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opI32Load      = 0x28
	opI64Load      = 0x29
	opI32Store     = 0x36
	opI64Store     = 0x37
	opI32Store8    = 0x3a
	opI32Const     = 0x41
	opI64Const     = 0x42
	opI32Eqz       = 0x45
	opI32Eq        = 0x46
	opI32LtS       = 0x48
	opI32GeS       = 0x4e
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32Shl       = 0x74
	opI32WrapI64   = 0xa7
	opI64ExtendU   = 0xad
	opI64ShrU      = 0x88
	opI64Or        = 0x84

	typeVoid = 0x40
	typeI32  = 0x7f
	typeI64  = 0x7e
)

// code is a function body being written.
type code struct {
	out []byte
	fn  func(name string) uint32 // index of a function of the engine
}

func (c *code) op(ops ...byte) *code {
	c.out = append(c.out, ops...)
	return c
}

func (c *code) arg(op byte, n uint32) *code {
	c.out = image.AppendU32(append(c.out, op), n)
	return c
}

func (c *code) get(local uint32) *code     { return c.arg(opLocalGet, local) }
func (c *code) set(local uint32) *code     { return c.arg(opLocalSet, local) }
func (c *code) tee(local uint32) *code     { return c.arg(opLocalTee, local) }
func (c *code) getSP() *code               { return c.arg(opGlobalGet, stackPointer) }
func (c *code) setSP() *code               { return c.arg(opGlobalSet, stackPointer) }
func (c *code) call(name string) *code     { return c.arg(opCall, c.fn(name)) }
func (c *code) block(op byte) *code        { return c.op(op, typeVoid) }
func (c *code) br(op byte, n uint32) *code { return c.arg(op, n) }

func (c *code) i32(v int32) *code {
	c.out = image.AppendS64(append(c.out, opI32Const), int64(v))
	return c
}

func (c *code) i64(v int64) *code {
	c.out = image.AppendS64(append(c.out, opI64Const), v)
	return c
}

// load and store access [address on the stack + offset].
func (c *code) load(op byte, offset uint32) *code  { return c.memory(op, offset) }
func (c *code) store(op byte, offset uint32) *code { return c.memory(op, offset) }

func (c *code) memory(op byte, offset uint32) *code {
	c.out = image.AppendU32(append(c.out, op, 0), offset) // alignment 1: the cells are aligned, their addresses need not say so
	return c
}

// load4 and store4 are as a compiler writes them, of aligned i32.
func (c *code) load4(offset uint32) *code {
	c.out = image.AppendU32(append(c.out, opI32Load, 2), offset)
	return c
}

func (c *code) store4(offset uint32) *code {
	c.out = image.AppendU32(append(c.out, opI32Store, 2), offset)
	return c
}

// cell loads a cell.
func (c *code) cell(op byte, at int32) *code { return c.i32(at).load(op, 0) }

// body is the function with locals: n of i32, then m of i64.
func (c *code) body(n, m uint32) []byte {
	b := image.AppendU32(nil, 2)
	b = append(image.AppendU32(b, n), typeI32)
	b = append(image.AppendU32(b, m), typeI64)
	return append(append(b, c.out...), opEnd)
}
