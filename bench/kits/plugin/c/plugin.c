// A plug-in in C without a PDK's header: Extism's functions, declared by hand.
#include <stdint.h>

#define ENV(name) __attribute__((import_module("extism:host/env"), import_name(name)))
ENV("input_length") uint64_t input_length(void);
ENV("input_load_u8") uint32_t input_load_u8(uint64_t);
ENV("alloc") uint64_t extism_alloc(uint64_t);
ENV("store_u8") void store_u8(uint64_t, uint32_t);
ENV("output_set") void output_set(uint64_t, uint64_t);

// Upper case of ASCII.
__attribute__((export_name("upper"))) int32_t upper(void) {
	uint64_t n = input_length(), at = extism_alloc(n);
	for (uint64_t i = 0; i < n; i++) {
		uint32_t c = input_load_u8(i);
		store_u8(at + i, c >= 'a' && c <= 'z' ? c - 32 : c);
	}
	output_set(at, n);
	return 0;
}
