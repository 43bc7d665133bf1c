;; rollup: adds up the numbers of the array "amounts" in an event's payload.
;;
;; A handler reactor by hand: no imports. The payload {"amounts":[3,-1,4]} gives
;; {"count":3,"sum":6,"min":-1,"max":4}; an empty array gives null for min and max.
;; A number or a sum outside of 64 bits gives {"error":"overflow"}.
;;
;; The event is valid JSON, Runnel sees to that. On any other bytes the answer may
;; be an error or wrong, but every read stays below $end and every loop moves on.

(module
  (memory (export "memory") 1)

  ;; Memory: constants below 1024, the answer from 1024, the event from 4096.
  (data (i32.const 0)   "payload")
  (data (i32.const 16)  "amounts")
  (data (i32.const 32)  "{\22count\22:")
  (data (i32.const 48)  ",\22sum\22:")
  (data (i32.const 64)  ",\22min\22:")
  (data (i32.const 80)  ",\22max\22:")
  (data (i32.const 96)  "null")
  (data (i32.const 128) "{\22error\22:\22overflow\22}")
  (data (i32.const 160) "{\22error\22:\22the payload has no array amounts\22}")
  (data (i32.const 224) "{\22error\22:\22amounts holds something that is not an integer\22}")

  (global $top (mut i32) (i32.const 4096)) ;; of what runnel_alloc gave away
  (global $pos (mut i32) (i32.const 0))    ;; where reading is
  (global $end (mut i32) (i32.const 0))    ;; of the event
  (global $out (mut i32) (i32.const 1024)) ;; where writing is
  (global $fault (mut i32) (i32.const 0))  ;; of $integer: 1 not an integer, 2 overflow

  (func (export "runnel_alloc") (param $size i32) (result i32)
    (local $at i32) (local $pages i32)
    (local.set $at (global.get $top))
    (if (i32.gt_u (local.get $size) (i32.const 0x10000000)) (then (unreachable)))
    (global.set $top (i32.add (local.get $at) (local.get $size)))
    (local.set $pages
      (i32.sub
        (i32.shr_u (i32.add (global.get $top) (i32.const 0xffff)) (i32.const 16))
        (memory.size)))
    (if (i32.gt_s (local.get $pages) (i32.const 0))
      (then
        (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then (unreachable)))))
    (local.get $at))

  ;; The byte at $pos, or -1 at the end.
  (func $byte (result i32)
    (if (result i32) (i32.lt_u (global.get $pos) (global.get $end))
      (then (i32.load8_u (global.get $pos)))
      (else (i32.const -1))))

  (func $advance
    (global.set $pos (i32.add (global.get $pos) (i32.const 1))))

  ;; Passes over white space and returns the byte after it, or -1.
  (func $peek (result i32)
    (local $c i32)
    (loop $again
      (local.set $c (call $byte))
      (if (i32.or
            (i32.eq (local.get $c) (i32.const 0x20))
            (i32.and
              (i32.ge_s (local.get $c) (i32.const 0x09))
              (i32.le_s (local.get $c) (i32.const 0x0d))))
        (then (call $advance) (br $again))))
    (local.get $c))

  ;; Passes over the string that begins at $pos, quotes included.
  (func $skip_string
    (local $c i32)
    (call $advance)
    (loop $again
      (local.set $c (call $byte))
      (if (i32.eq (local.get $c) (i32.const -1)) (then (return)))
      (call $advance)
      (if (i32.eq (local.get $c) (i32.const 0x22)) (then (return))) ;; quote
      (if (i32.eq (local.get $c) (i32.const 0x5c))                  ;; backslash
        (then
          (if (i32.eq (call $byte) (i32.const -1)) (then (return)))
          (call $advance)))
      (br $again)))

  ;; Passes over the value that begins at $pos, however deep.
  (func $skip_value
    (local $c i32) (local $depth i32)
    (loop $again
      (local.set $c (call $peek))
      (if (i32.eq (local.get $c) (i32.const -1)) (then (return)))
      (if (i32.eq (local.get $c) (i32.const 0x22))
        (then (call $skip_string))
        (else
          (if (i32.eq (i32.or (local.get $c) (i32.const 0x20)) (i32.const 0x7b)) ;; { or [
            (then (local.set $depth (i32.add (local.get $depth) (i32.const 1)))))
          (if (i32.eq (i32.or (local.get $c) (i32.const 0x20)) (i32.const 0x7d)) ;; } or ]
            (then (local.set $depth (i32.sub (local.get $depth) (i32.const 1)))))
          (call $advance)
          (if (i32.eqz (call $punctuation (local.get $c)))
            (then (call $skip_word)))))
      (br_if $again (i32.gt_s (local.get $depth) (i32.const 0)))))

  (func $punctuation (param $c i32) (result i32)
    (i32.or
      (i32.or
        (i32.eq (i32.or (local.get $c) (i32.const 0x20)) (i32.const 0x7b))
        (i32.eq (i32.or (local.get $c) (i32.const 0x20)) (i32.const 0x7d)))
      (i32.or
        (i32.eq (local.get $c) (i32.const 0x2c))    ;; ,
        (i32.eq (local.get $c) (i32.const 0x3a))))) ;; :

  ;; Passes over the rest of a number or a word.
  (func $skip_word
    (local $c i32)
    (loop $again
      (local.set $c (call $byte))
      (if (i32.le_s (local.get $c) (i32.const 0x22)) (then (return))) ;; the end, a space or a quote
      (if (call $punctuation (local.get $c)) (then (return)))
      (call $advance)
      (br $again)))

  ;; Whether the $len bytes from $a and from $b are the same.
  (func $same (param $a i32) (param $b i32) (param $len i32) (result i32)
    (loop $again
      (if (i32.eqz (local.get $len)) (then (return (i32.const 1))))
      (if (i32.ne (i32.load8_u (local.get $a)) (i32.load8_u (local.get $b)))
        (then (return (i32.const 0))))
      (local.set $a (i32.add (local.get $a) (i32.const 1)))
      (local.set $b (i32.add (local.get $b) (i32.const 1)))
      (local.set $len (i32.sub (local.get $len) (i32.const 1)))
      (br $again))
    (unreachable))

  ;; Goes to the value of a member of the object at $pos. Returns 0 when what is
  ;; there is no object, or has no such member.
  (func $member (param $key i32) (param $len i32) (result i32)
    (local $from i32) (local $found i32)
    (if (i32.ne (call $peek) (i32.const 0x7b)) (then (return (i32.const 0))))
    (call $advance)
    (loop $again
      (if (i32.eq (call $peek) (i32.const 0x2c)) (then (call $advance)))
      (if (i32.ne (call $peek) (i32.const 0x22)) (then (return (i32.const 0))))
      (local.set $from (i32.add (global.get $pos) (i32.const 1)))
      (call $skip_string)
      (local.set $found (i32.const 0))
      (if (i32.eq ;; the key's length, without the closing quote
            (i32.sub (i32.sub (global.get $pos) (local.get $from)) (i32.const 1))
            (local.get $len))
        (then (local.set $found (call $same (local.get $from) (local.get $key) (local.get $len)))))
      (if (i32.ne (call $peek) (i32.const 0x3a)) (then (return (i32.const 0))))
      (call $advance)
      (drop (call $peek))
      (if (local.get $found) (then (return (i32.const 1))))
      (call $skip_value)
      (br $again))
    (unreachable))

  ;; Reads the integer at $pos. It is built up below zero, where there is room for
  ;; one more than above.
  (func $integer (result i64)
    (local $negative i32) (local $digits i32) (local $c i32) (local $n i64)
    (if (i32.eq (call $peek) (i32.const 0x2d)) ;; -
      (then (local.set $negative (i32.const 1)) (call $advance)))
    (block $done
      (loop $again
        (local.set $c (i32.sub (call $byte) (i32.const 0x30)))
        (br_if $done (i32.gt_u (local.get $c) (i32.const 9)))
        (call $advance)
        (local.set $digits (i32.const 1))
        (if (i32.or
              (i64.lt_s (local.get $n) (i64.const -922337203685477580))
              (i32.and
                (i64.eq (local.get $n) (i64.const -922337203685477580))
                (i32.gt_u (local.get $c) (i32.const 8))))
          (then (global.set $fault (i32.const 2)))
          (else
            (local.set $n
              (i64.sub
                (i64.mul (local.get $n) (i64.const 10))
                (i64.extend_i32_u (local.get $c))))))
        (br $again)))
    (local.set $c (call $peek))
    (if (i32.or
          (i32.eqz (local.get $digits))
          (i32.and
            (i32.ne (local.get $c) (i32.const 0x2c))   ;; ,
            (i32.ne (local.get $c) (i32.const 0x5d)))) ;; ]
      (then (global.set $fault (i32.const 1)) (return (i64.const 0))))
    (if (local.get $negative) (then (return (local.get $n))))
    (if (i64.eq (local.get $n) (i64.const 0x8000000000000000))
      (then (global.set $fault (i32.const 2))))
    (i64.sub (i64.const 0) (local.get $n)))

  (func $write (param $from i32) (param $len i32)
    (loop $again
      (if (i32.eqz (local.get $len)) (then (return)))
      (i32.store8 (global.get $out) (i32.load8_u (local.get $from)))
      (global.set $out (i32.add (global.get $out) (i32.const 1)))
      (local.set $from (i32.add (local.get $from) (i32.const 1)))
      (local.set $len (i32.sub (local.get $len) (i32.const 1)))
      (br $again)))

  ;; Writes a number in decimal, its digits first backwards below 1024.
  (func $write_integer (param $n i64)
    (local $at i32)
    (local.set $at (i32.const 1024))
    (if (i64.lt_s (local.get $n) (i64.const 0))
      (then
        (i32.store8 (global.get $out) (i32.const 0x2d))
        (global.set $out (i32.add (global.get $out) (i32.const 1)))
        (local.set $n (i64.sub (i64.const 0) (local.get $n))))) ;; as unsigned, also right for the least
    (loop $again
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at)
        (i32.add (i32.const 0x30) (i32.wrap_i64 (i64.rem_u (local.get $n) (i64.const 10)))))
      (local.set $n (i64.div_u (local.get $n) (i64.const 10)))
      (br_if $again (i64.ne (local.get $n) (i64.const 0))))
    (call $write (local.get $at) (i32.sub (i32.const 1024) (local.get $at))))

  ;; Writes a number, or null when there was none.
  (func $write_if (param $count i64) (param $n i64)
    (if (i64.eqz (local.get $count))
      (then (call $write (i32.const 96) (i32.const 4)))
      (else (call $write_integer (local.get $n)))))

  ;; What has been written, as ptr << 32 | len.
  (func $answer (result i64)
    (i64.or
      (i64.const 0x40000000000) ;; 1024 << 32
      (i64.extend_i32_u (i32.sub (global.get $out) (i32.const 1024)))))

  (func (export "handler") (param $ptr i32) (param $len i32) (result i64)
    (local $count i64) (local $sum i64) (local $min i64) (local $max i64)
    (local $n i64) (local $next i64)
    (global.set $pos (local.get $ptr))
    (global.set $end (i32.add (local.get $ptr) (local.get $len)))
    (local.set $min (i64.const 0x7fffffffffffffff))
    (local.set $max (i64.const 0x8000000000000000))

    (block $malformed
      (block $overflow
        (block $absent
          (br_if $absent (i32.eqz (call $member (i32.const 0) (i32.const 7))))
          (br_if $absent (i32.eqz (call $member (i32.const 16) (i32.const 7))))
          (br_if $absent (i32.ne (call $byte) (i32.const 0x5b))) ;; [
          (call $advance)
          (if (i32.ne (call $peek) (i32.const 0x5d)) ;; ]
            (then
              (loop $again
                (local.set $n (call $integer))
                (br_if $malformed (i32.eq (global.get $fault) (i32.const 1)))
                (br_if $overflow (global.get $fault))
                (local.set $next (i64.add (local.get $sum) (local.get $n)))
                ;; Overflow: both have the same sign, and the result the other.
                (br_if $overflow
                  (i64.lt_s
                    (i64.and
                      (i64.xor (local.get $sum) (local.get $next))
                      (i64.xor (local.get $n) (local.get $next)))
                    (i64.const 0)))
                (local.set $sum (local.get $next))
                (local.set $count (i64.add (local.get $count) (i64.const 1)))
                (if (i64.lt_s (local.get $n) (local.get $min)) (then (local.set $min (local.get $n))))
                (if (i64.gt_s (local.get $n) (local.get $max)) (then (local.set $max (local.get $n))))
                (if (i32.eq (call $byte) (i32.const 0x2c)) ;; ,
                  (then (call $advance) (br $again))))))
          (call $write (i32.const 32) (i32.const 9))
          (call $write_integer (local.get $count))
          (call $write (i32.const 48) (i32.const 7))
          (call $write_integer (local.get $sum))
          (call $write (i32.const 64) (i32.const 7))
          (call $write_if (local.get $count) (local.get $min))
          (call $write (i32.const 80) (i32.const 7))
          (call $write_if (local.get $count) (local.get $max))
          (i32.store8 (global.get $out) (i32.const 0x7d)) ;; }
          (global.set $out (i32.add (global.get $out) (i32.const 1)))
          (return (call $answer)))
        (call $write (i32.const 160) (i32.const 44))
        (return (call $answer)))
      (call $write (i32.const 128) (i32.const 20))
      (return (call $answer)))
    (call $write (i32.const 224) (i32.const 58))
    (call $answer)))
