package sandbox

import "syscall"

// reserve maps n bytes of zeroes. Pages cost memory when the guest touches them.
func reserve(n int) ([]byte, error) {
	return syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
}

// pieceBytes is how much memory is given back at once. Giving back takes the lock
// that mapping memory needs, so all of a large instance's at once would make every
// other instance that starts or ends meanwhile wait: 10 ms for 100 MB.
const pieceBytes = 4 << 20

// giveBack returns what a guest had, and may have touched, to the system, and tells
// whether all of it is zero now. Without it release would do so, all at once.
func giveBack(used []byte) bool {
	for len(used) > 0 {
		n := min(len(used), pieceBytes)
		if !discard(used[:n]) {
			return false
		}
		used = used[n:]
	}
	return true
}

// release unmaps what reserve returned. It can only fail for a slice that reserve
// did not return, which would be a bug worth a crash: the mapping would be lost.
func release(b []byte) {
	if err := syscall.Munmap(b); err != nil {
		panic(err)
	}
}

// discard makes memory of a reservation zero, by giving it back to the system.
func discard(b []byte) bool { return syscall.Madvise(b, syscall.MADV_DONTNEED) == nil }
