// Package image takes a module apart into the code, which many functions can share,
// and the memory it starts with, which is a function's own; and puts the two
// together again. It knows the sections of a module and nothing of what is in them
// but memories, globals and data.
//
// What it is given may be an attacker's. A module that it cannot take apart for
// certain stays whole, and is then like any other to the sandbox.
package image
