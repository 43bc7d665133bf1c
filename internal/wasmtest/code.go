package wasmtest

import (
	"encoding/binary"
	"math"
)

// Empty is the type of a block without parameters and results.
const Empty byte = 0x40

// Opcodes without immediates that tests use often. Any other opcode is written
// with Op as the byte of the specification.
const (
	Unreachable byte = 0x00
	Nop         byte = 0x01
	Return      byte = 0x0f
	Drop        byte = 0x1a
	Select      byte = 0x1b
	I32Eqz      byte = 0x45
	I32Eq       byte = 0x46
	I32Ne       byte = 0x47
	I32LtS      byte = 0x48
	I32LtU      byte = 0x49
	I32GeU      byte = 0x4f
	I32Add      byte = 0x6a
	I32Sub      byte = 0x6b
	I32Mul      byte = 0x6c
	I32DivU     byte = 0x6e
	I32RemU     byte = 0x70
	I32And      byte = 0x71
	I32Or       byte = 0x72
	I32Xor      byte = 0x73
	I32Shl      byte = 0x74
	I32ShrU     byte = 0x76
	I64Add      byte = 0x7c
	I64Or       byte = 0x84
	I64Shl      byte = 0x86
	I64ExtendU  byte = 0xad
)

// Code is a function body or a constant expression under construction. Its
// methods append one instruction each and return the receiver.
type Code struct{ b []byte }

// Body starts an empty body.
func Body() *Code { return &Code{} }

// Op appends bytes as they are: opcodes without immediates, or anything the
// other methods do not offer.
func (c *Code) Op(b ...byte) *Code { c.b = append(c.b, b...); return c }

// Add appends another body.
func (c *Code) Add(d *Code) *Code { return c.Op(d.b...) }

// Bytes returns what was appended so far.
func (c *Code) Bytes() []byte { return c.b }

// Block opens a block. typ is Empty, a value type, or Int of a type index.
func (c *Code) Block(typ ...byte) *Code { return c.Op(0x02).Op(typ...) }

// Loop opens a loop; typ as for Block.
func (c *Code) Loop(typ ...byte) *Code { return c.Op(0x03).Op(typ...) }

// If opens an if; typ as for Block.
func (c *Code) If(typ ...byte) *Code { return c.Op(0x04).Op(typ...) }

// Else starts the else part of an if.
func (c *Code) Else() *Code { return c.Op(0x05) }

// End closes a block, loop, if, body or constant expression.
func (c *Code) End() *Code { return c.Op(0x0b) }

// Br branches to the depth-th enclosing label, 0 being the innermost.
func (c *Code) Br(depth uint32) *Code { return c.index(0x0c, depth) }

// BrIf branches when the popped i32 is not zero.
func (c *Code) BrIf(depth uint32) *Code { return c.index(0x0d, depth) }

// BrTable branches to the popped i32-th of targets; the last target is the
// default.
func (c *Code) BrTable(targets ...uint32) *Code {
	c.index(0x0e, uint32(len(targets)-1))
	for _, t := range targets {
		c.Op(Uint(t)...)
	}
	return c
}

// Call calls a function.
func (c *Code) Call(f uint32) *Code { return c.index(0x10, f) }

// CallIndirect calls through table 0.
func (c *Code) CallIndirect(typ uint32) *Code { return c.index(0x11, typ).Op(0) }

// LocalGet pushes a local.
func (c *Code) LocalGet(i uint32) *Code { return c.index(0x20, i) }

// LocalSet pops into a local.
func (c *Code) LocalSet(i uint32) *Code { return c.index(0x21, i) }

// LocalTee copies the top of the stack into a local.
func (c *Code) LocalTee(i uint32) *Code { return c.index(0x22, i) }

// GlobalGet pushes a global.
func (c *Code) GlobalGet(i uint32) *Code { return c.index(0x23, i) }

// GlobalSet pops into a global.
func (c *Code) GlobalSet(i uint32) *Code { return c.index(0x24, i) }

// I32Const pushes a constant.
func (c *Code) I32Const(v int32) *Code { return c.Op(0x41).Op(Int(int64(v))...) }

// I64Const pushes a constant.
func (c *Code) I64Const(v int64) *Code { return c.Op(0x42).Op(Int(v)...) }

// F64Const pushes a constant.
func (c *Code) F64Const(v float64) *Code {
	return c.Op(0x44).Op(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))...)
}

// RefFunc pushes a reference to a function.
func (c *Code) RefFunc(f uint32) *Code { return c.index(0xd2, f) }

// I32Load pushes the i32 at the popped address plus offset.
func (c *Code) I32Load(offset uint32) *Code { return c.Op(0x28, 2).Op(Uint(offset)...) }

// I32Load8 pushes the byte at the popped address plus offset.
func (c *Code) I32Load8(offset uint32) *Code { return c.Op(0x2d, 0).Op(Uint(offset)...) }

// I32Store pops a value and an address.
func (c *Code) I32Store(offset uint32) *Code { return c.Op(0x36, 2).Op(Uint(offset)...) }

// I32Store8 pops a value and an address.
func (c *Code) I32Store8(offset uint32) *Code { return c.Op(0x3a, 0).Op(Uint(offset)...) }

// MemoryGrow grows memory 0 by the popped number of pages.
func (c *Code) MemoryGrow() *Code { return c.Op(0x40, 0) }

// MemoryFill pops length, value and address.
func (c *Code) MemoryFill() *Code { return c.Op(0xfc, 11, 0) }

// MemoryCopy pops length, source and destination.
func (c *Code) MemoryCopy() *Code { return c.Op(0xfc, 10, 0, 0) }

func (c *Code) index(op byte, i uint32) *Code { return c.Op(op).Op(Uint(i)...) }
