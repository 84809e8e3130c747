;; Base64 (RFC 4648 §4) of one piece of output, twelve bytes at a time; the method is Wojciech Muła's.
;; `npm run build:wasm` makes encode-wasm.ts of this file. How the memory is used: encoder.ts.
(module
  (memory (export "memory") 2)

  ;; Constants are loaded before the loop: V8 builds a v128.const anew at each use.
  ;; Bytes a b c of a group as b a c b, so that each half of a lane holds all bits of two values.
  (data (i32.const 0) "\01\00\02\01\04\03\05\04\07\06\08\07\0a\09\0b\0a")
  ;; Where the first and the third value of a group are after their shifts.
  (data (i32.const 16) "\3f\00\00\00\3f\00\00\00\3f\00\00\00\3f\00\00\00")
  (data (i32.const 32) "\00\00\3f\00\00\00\3f\00\00\00\3f\00\00\00\3f\00")
  ;; The bits of the second and the fourth, and the factors that shift them into their places.
  (data (i32.const 48) "\f0\03\3f\00\f0\03\3f\00\f0\03\3f\00\f0\03\3f\00")
  (data (i32.const 64) "\10\00\00\01\10\00\00\01\10\00\00\01\10\00\00\01")
  ;; From a value to its character: 'a' - 26, ten times '0' - 52, '+' - 62, '/' - 63, 'A'.
  (data (i32.const 80) "\47\fc\fc\fc\fc\fc\fc\fc\fc\fc\fc\ed\f0\41\00\00")

  ;; Reads up to 16 bytes beyond the input and writes up to 12 beyond the text; two bytes after the input are cleared.
  ;; Returns where the text ends.
  (func (export "encode") (param $from i32) (param $length i32) (param $to i32) (result i32)
    (local $end i32) (local $textEnd i32) (local $padding i32)
    (local $group v128) (local $values v128)
    (local $order v128) (local $first v128) (local $third v128) (local $others v128) (local $factors v128)
    (local $offsets v128) (local $51 v128) (local $26 v128) (local $13 v128)
    (local.set $order (v128.load (i32.const 0)))
    (local.set $first (v128.load (i32.const 16)))
    (local.set $third (v128.load (i32.const 32)))
    (local.set $others (v128.load (i32.const 48)))
    (local.set $factors (v128.load (i32.const 64)))
    (local.set $offsets (v128.load (i32.const 80)))
    (local.set $51 (i8x16.splat (i32.const 51)))
    (local.set $26 (i8x16.splat (i32.const 26)))
    (local.set $13 (i8x16.splat (i32.const 13)))
    (local.set $end (i32.add (local.get $from) (local.get $length)))
    (local.set $textEnd
      (i32.add
        (local.get $to)
        (i32.shl (i32.div_u (i32.add (local.get $length) (i32.const 2)) (i32.const 3)) (i32.const 2))))
    ;; A last group that is not whole is filled with zero bits.
    (i32.store16 (local.get $end) (i32.const 0))

    (block $done
      (br_if $done (i32.eqz (local.get $length)))
      (loop $next
        (local.set $group (i8x16.swizzle (v128.load (local.get $from)) (local.get $order)))
        (local.set $values
          (v128.or
            (v128.or
              (v128.and (i16x8.shr_u (local.get $group) (i32.const 10)) (local.get $first))
              (v128.and (i16x8.shr_u (local.get $group) (i32.const 6)) (local.get $third)))
            (i16x8.mul (v128.and (local.get $group) (local.get $others)) (local.get $factors))))
        ;; Values below 26 take the offset with number 13, those up to 51 number 0, each later one its own.
        (v128.store
          (local.get $to)
          (i8x16.add
            (local.get $values)
            (i8x16.swizzle
              (local.get $offsets)
              (v128.or
                (i8x16.sub_sat_u (local.get $values) (local.get $51))
                (v128.and (i8x16.lt_s (local.get $values) (local.get $26)) (local.get $13))))))
        (local.set $from (i32.add (local.get $from) (i32.const 12)))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (br_if $next (i32.lt_u (local.get $from) (local.get $end)))))

    ;; One '=' for each byte that the last group lacks.
    (local.set $padding (i32.rem_u (i32.mul (local.get $length) (i32.const 2)) (i32.const 3)))
    (if (local.get $padding)
      (then (i32.store8 (i32.sub (local.get $textEnd) (i32.const 1)) (i32.const 61))))
    (if (i32.eq (local.get $padding) (i32.const 2))
      (then (i32.store8 (i32.sub (local.get $textEnd) (i32.const 2)) (i32.const 61))))
    (local.get $textEnd)))
