package sandbox

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/runnelhq/runnel/sandbox/image"
)

// BenchmarkImages measures ways to begin an instance with an image and to give its
// memory back, for guests that write to some of its pages. docs/BENCHMARKS.md has the
// result, which is why images are copied.
func BenchmarkImages(b *testing.B) {
	const reserved = 128 << 20
	for _, kb := range []int{100, 512, 1 << 10, 4 << 10, 16 << 10, 64 << 10} {
		memory := make([]byte, (kb<<10+pageSize-1)/pageSize*pageSize)
		r := rand.New(rand.NewPCG(1, 2))
		for i := range memory[:kb<<10] {
			memory[i] = byte(r.Uint32()) | 1
		}
		img := image.New(memory)
		file := memoryFile(b, memory)
		var anew, pooled pool
		var kept sync.Pool
		mapAnew := func() ([]byte, error) { return mapImage(file, len(memory), reserved) }
		unmap := func(m []byte) {
			giveBack(m[:len(memory)])
			release(m)
		}
		ways := []struct {
			name string
			take func() ([]byte, error)
			put  func([]byte)
		}{
			{"copied anew", func() ([]byte, error) { return anew.take(reserved, img) }, unmap},
			{"copied", func() ([]byte, error) { return pooled.take(reserved, img) },
				func(m []byte) { pooled.put(m, min(len(memory), poolUsed), img) }}, // as if it kept larger ones
			{"mapped anew", mapAnew, unmap},
			{"mapped", func() ([]byte, error) {
				if m, ok := kept.Get().(*[]byte); ok {
					return *m, nil
				}
				return mapAnew()
			}, func(m []byte) {
				if !giveBack(m[:len(memory)]) { // what was written; the file stays mapped
					b.Error("the system did not take the memory back")
				}
				kept.Put(&m)
			}},
		}
		for _, pages := range []int{8, 64, len(memory) >> 12} {
			if pages > len(memory)>>12 {
				continue
			}
			step := len(memory) / pages &^ 4095
			for _, way := range ways {
				touched := fmt.Sprint(pages)
				if pages == len(memory)>>12 {
					touched = "all"
				}
				b.Run(fmt.Sprintf("%dKB/%s/%s", kb, touched, way.name), func(b *testing.B) {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							m, err := way.take()
							if err != nil {
								b.Error(err)
								return
							}
							for at := 0; at < pages*step; at += step {
								if m[at]++; m[at] != memory[at]+1 {
									b.Errorf("byte %d is not the image's", at)
									return
								}
							}
							way.put(m)
						}
					})
				})
			}
		}
		anew.close()
		pooled.close()
		_ = syscall.Close(file)
	}
}

// memoryFile is a file in memory that nobody can write to.
func memoryFile(t testing.TB, memory []byte) int {
	fd, err := unix.MemfdCreate("image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Skip(err)
	}
	for rest := memory; len(rest) > 0; {
		n, err := syscall.Write(fd, rest)
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		t.Fatal(err)
	}
	return fd
}

// mapImage is a reservation that begins with a file, copied when it is written to.
func mapImage(file, length, reserved int) ([]byte, error) {
	m, err := reserve(reserved)
	if err != nil {
		return nil, err
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_MMAP, uintptr(unsafe.Pointer(&m[0])), uintptr(length),
		syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_FIXED, uintptr(file), 0)
	if errno != 0 {
		return nil, errno
	}
	return m, nil
}
