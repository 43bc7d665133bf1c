package meter

// Limits bound what a module may declare. They keep decoding, compiling and
// instantiating it cheap; running it is bounded by fuel and memory.
type Limits struct {
	ModuleBytes   int    // size of the module
	Types         int    // function types
	TypeValues    int    // parameters and results of one function type, together
	TypeTotal     int    // parameters and results of all function types
	Imports       int    // imports
	Exports       int    // exports
	Functions     int    // defined functions
	BodyBytes     int    // encoded size of one function
	Locals        int    // parameters and locals of one function
	LocalsTotal   int    // parameters and locals of all functions
	Nesting       int    // blocks within blocks
	BranchTargets int    // targets of one br_table
	BranchTotal   int    // targets of all br_table
	Tables        int    // tables
	TableElements uint32 // elements of all tables; declared maxima above it are lowered
	Elements      int    // entries of all element segments
	MemoryPages   uint32 // declared minimum of the memory, pages of 64 KiB
	Globals       int    // globals
	DataSegments  int    // data segments
	FunctionWork  int64  // estimated work of compiling one function, in units of 0.5 us or 400 bytes
	Work          int64  // estimated work of compiling the module
	NameBytes     int    // function names kept for stack traces; larger sections are dropped
}

// DefaultLimits are the limits of deployed functions. Most follow what web
// browsers agreed on. Work is tightest: a Go module takes about 1.5 million units
// per MB, QuickJS 4.5 million in all, and its largest function 0.9 million. What
// is just within the limit took wazero 1.4 GB and seven times as long as a Go
// module of 3 MB (18 s against 2.5 s of processor time, on a busy machine).
func DefaultLimits() Limits {
	return Limits{
		ModuleBytes:   10 << 20,
		Types:         5_000,
		TypeValues:    1_000,
		TypeTotal:     20_000,
		Imports:       1_000,
		Exports:       10_000,
		Functions:     100_000,
		BodyBytes:     2 << 20,
		Locals:        50_000,
		LocalsTotal:   2_000_000,
		Nesting:       5_000,
		BranchTargets: 10_000,
		BranchTotal:   500_000,
		Tables:        20,
		TableElements: 100_000,
		Elements:      100_000,
		MemoryPages:   8192,
		Globals:       10_000,
		DataSegments:  100_000,
		FunctionWork:  2_500_000,
		Work:          24_000_000,
		NameBytes:     1 << 20,
	}
}
