package sandbox

import "syscall"

// reserve maps n bytes of zeroes. Pages cost memory when the guest touches them.
func reserve(n int) ([]byte, error) {
	return syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
}

// release unmaps what reserve returned. It can only fail for a slice that reserve
// did not return, which would be a bug worth a crash: the mapping would be lost.
func release(b []byte) {
	if err := syscall.Munmap(b); err != nil {
		panic(err)
	}
}
