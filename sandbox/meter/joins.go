package meter

import "sort"

// joins counts, for every block, the locals that are set in it: where it ends, or
// begins anew, no others can have more than one value to be joined. The meter's own
// locals are not counted.
type joins struct {
	set   []int32 // for each local, the instruction that set it last, or 0
	from  []int32 // of each open block, the instruction that opened it
	fresh []int32 // adds up to the count of the innermost block
	count int32
}

// reset begins a function.
func (j *joins) reset(locals int) {
	j.set = append(j.set[:0], make([]int32, locals)...)
	j.from, j.fresh, j.count = j.from[:0], j.fresh[:0], 0
}

// open is told of the instruction, counted from 1, that opens a block.
func (j *joins) open(at int32) {
	j.from = append(j.from, at)
	j.fresh = append(j.fresh, -j.count)
	j.count = 0
}

// write is told of the instruction that sets a local. The open blocks since the
// local was last set have not counted it: they are the innermost ones.
func (j *joins) write(local uint32, at int32) {
	last := j.set[local]
	j.set[local] = at
	if k := sort.Search(len(j.from), func(i int) bool { return j.from[i] > last }); k < len(j.from) {
		j.fresh[k]++
		j.count++
	}
}

// close ends the innermost block and returns its count.
func (j *joins) close() int32 {
	k := len(j.fresh) - 1
	count := j.count
	j.count -= j.fresh[k]
	j.from, j.fresh = j.from[:k], j.fresh[:k]
	return count
}
