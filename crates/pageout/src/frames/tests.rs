use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const WIDTHS: [usize; 5] = [1, 2, 4, 8, 16];

fn workspace() -> Workspace {
    Workspace::new().expect("memory")
}

/// Bytes of one of the kinds that payloads have, from runs of one value to noise.
fn bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), 1..=64u32, 0..6u32, 0..=len_max).prop_map(|(seed, bits, kind, len)| {
        let mut state = seed | 1;
        let mut sum = 0u64;
        let words = (0..len.div_ceil(8)).flat_map(|_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let noise = state >> (64 - bits);
            sum = sum.wrapping_add(noise);
            let [low, high, ..] = noise.to_le_bytes();
            let word = match kind {
                0 => noise,
                1 => sum,
                2 => noise.wrapping_neg(),
                // Decimals of two places, or of one.
                3 => (f64::from(i32::from_le_bytes([low, high, 0, 0])) / 100.0).to_bits(),
                4 => u64::from((f32::from(i16::from_le_bytes([low, high])) / 10.0).to_bits()) * 0x1_0000_0001,
                _ => u64::from(noise % 7 == 0),
            };
            word.to_le_bytes()
        });
        words.take(len).collect()
    })
}

fn round_trip(workspace: &mut Workspace, frame: &[u8], form: Form) -> usize {
    let encoded = workspace.encode(frame, form).to_vec();
    let mut back = vec![0xa5; frame.len()];
    assert_eq!(workspace.decode(&encoded, &mut back), Ok(()), "{form:?}");
    assert!(back == frame, "{form:?} of {} bytes", frame.len());
    encoded.len()
}

/// Cuts `bytes` at some places.
fn cut<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<IoSlice<'a>> {
    let mut slices = Vec::new();
    for &cut in cuts {
        let (front, rest) = bytes.split_at(cut.min(bytes.len()));
        slices.push(IoSlice::new(front));
        bytes = rest;
    }
    slices.push(IoSlice::new(bytes));
    slices
}

/// Encodes a payload; the stored bytes, one frame after the other.
fn encode(slices: &[IoSlice<'_>], len: usize, form: Form) -> (Layout, Vec<u8>) {
    let mut stored = Vec::new();
    let layout = workspace().encode_all(slices, units::to_u64(len), form, |frame| {
        stored.extend_from_slice(frame);
        Ok::<(), TryReserveError>(())
    });
    (layout.expect("memory"), stored)
}

/// Random words.
fn noise() -> impl FnMut() -> u64 {
    let mut state = 1u64;
    move || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        state >> 32
    }
}

#[test]
fn numbers_shrink_in_their_best_form() {
    let mut workspace = workspace();
    let mut change = |bytes: &[u8], width| {
        let form = workspace.choose(&[IoSlice::new(bytes)], units::to_u64(bytes.len()), width);
        format!("{form:?}")
    };
    let (mut signs, mut counts, mut times) = (noise(), noise(), noise());
    let rising: Vec<u8> = (0..9000u64).flat_map(|number| (1_700_000_000_000 + number * 17).to_le_bytes()).collect();
    let signed: Vec<u8> = (0..9000).flat_map(|_| (signs() % 201).wrapping_sub(100).to_le_bytes()).collect();
    let counters: Vec<u8> = (0..9000).flat_map(|_| (counts() % 65_521).to_le_bytes()).collect();
    let steady = change(&rising, 8);
    assert!(steady.contains("Differences"), "{steady}");
    let mut time = 0;
    let unsteady: Vec<u8> = (0..9000)
        .flat_map(|_| {
            time += 990 + times() % 20;
            u64::to_le_bytes(time)
        })
        .collect();
    assert!(change(&unsteady, 8).contains("DifferencesShuffled"));
    assert!(change(&signed, 8).contains("SignsShuffled"));
    assert!(change(&counters, 8).contains("Shuffled"));
    let mut steps = noise();
    let mut price = 100.0;
    let prices: Vec<f64> = std::iter::repeat_with(|| {
        price += f64::from(u32::try_from(steps() % 21).expect("few")) - 10.0;
        price / 100.0
    })
    .take(9000)
    .collect();
    let doubles: Vec<u8> = prices.iter().flat_map(|price| price.to_le_bytes()).collect();
    #[expect(clippy::cast_possible_truncation, reason = "a float of less precision")]
    let singles: Vec<u8> = prices.iter().flat_map(|&price| (price as f32).to_le_bytes()).collect();
    assert!(change(&doubles, 8).contains("DifferencesShuffled, width_log: 3, is_of_decimals: true"));
    assert!(change(&singles, 4).contains("DifferencesShuffled, width_log: 2, is_of_decimals: true"));
    assert!(change(&b"the same words, again and again; ".repeat(900), 1).contains("Plain"));
}

#[test]
fn a_frame_without_decimals_among_others_is_encoded_without_them() {
    let decimals: Vec<u8> =
        (0..u16::MAX).flat_map(|number| (f64::from(number) / 100.0).to_le_bytes()).take(2 * FRAME_BYTES).collect();
    let mut payload = decimals.clone();
    payload[FRAME_BYTES..][..8].copy_from_slice(&f64::NAN.to_le_bytes());
    let form = workspace().choose(&[IoSlice::new(&decimals)], units::to_u64(decimals.len()), 8).expect("they shrink");
    assert!(form.is_of_decimals());
    let (layout, stored) = encode(&[IoSlice::new(&payload)], payload.len(), form);
    assert!(layout.stored(&(0..1)).end < 60);
    assert!(layout.stored(&(1..2)).end - layout.stored(&(0..1)).end < units::to_u64(FRAME_BYTES));
    let mut back = vec![0; payload.len()];
    assert_eq!(workspace().decode_range(&layout, &stored, &(0..layout.len_bytes()), &mut back), Ok(()));
    assert!(back == payload);
}

#[test]
fn noise_is_left_as_it_is() {
    let noise: Vec<u8> = std::iter::repeat_with(noise()).map(|word| word.to_le_bytes()[0]).take(FRAME_BYTES).collect();
    let mut workspace = workspace();
    for width in WIDTHS {
        assert_eq!(workspace.choose(&[IoSlice::new(&noise)], units::to_u64(noise.len()), width), None);
        for form in Form::all_for(width) {
            assert!(std::ptr::eq(workspace.encode(&noise, form), &raw const noise[..]), "not even copied");
        }
    }
}

#[test]
fn empty_and_short_frames_come_back() {
    let mut workspace = workspace();
    for form in WIDTHS.into_iter().flat_map(Form::all_for) {
        for len in 0..200 {
            round_trip(&mut workspace, &vec![3; len], form);
        }
    }
    assert_eq!(workspace.choose(&[], 0, 8), None);
}

#[test]
fn equal_bytes_take_a_few_a_frame() {
    let mut workspace = workspace();
    for form in WIDTHS.into_iter().flat_map(Form::all_for) {
        assert!(round_trip(&mut workspace, &[0; FRAME_BYTES], form) <= 1 + 8 + 2 * 16, "{form:?}");
    }
}

#[test]
fn a_frame_that_is_decoded_as_another_length_is_corrupt() {
    let mut workspace = workspace();
    let mut random = noise();
    let frame: Vec<u8> = (0..200).flat_map(|_| (random() % 500).to_le_bytes()).collect();
    for form in Form::all_for(8) {
        let encoded = workspace.encode(&frame, form).to_vec();
        for len in [0, 1, 7, 1599, 1601, 1608, FRAME_BYTES] {
            assert_eq!(workspace.decode(&encoded, &mut vec![0; len]), Err(Corrupt), "{form:?} as {len}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "a million frames")]
fn layouts_say_where_frames_lie_past_32_bits() {
    let frames = (1 << 20) + 3001;
    let mut layout = Layout::new(units::to_u64(frames * FRAME_BYTES - 5)).expect("memory");
    let stored = |frame: usize| if frame.is_multiple_of(2) { FRAME_BYTES - 9 } else { FRAME_BYTES - 1 };
    let mut ends = vec![0];
    for frame in 0..frames {
        layout.push(stored(frame));
        ends.push(ends[frame] + units::to_u64(stored(frame)));
    }
    assert!(layout.stored_bytes() > u64::from(u32::MAX));
    assert_eq!(layout.stored_bytes(), ends[frames]);
    for frame in 0..frames {
        assert_eq!(layout.stored(&(frame..frame + 1)), ends[frame]..ends[frame + 1]);
    }
    assert_eq!(layout.stored(&(5..frames)), ends[5]..ends[frames]);
}

#[test]
fn ranges_touch_the_frames_that_have_their_bytes() {
    let frame = units::to_u64(FRAME_BYTES);
    let layout = Layout::new(3 * frame + 5).expect("memory");
    assert_eq!(layout.frames(&(7..7)), 0..0);
    assert_eq!(layout.frames(&(frame - 1..frame)), 0..1);
    assert_eq!(layout.frames(&(frame - 1..frame + 1)), 0..2);
    assert_eq!(layout.frames(&(frame..3 * frame + 5)), 1..4);
    assert_eq!((layout.payload(2), layout.payload(3)), (2 * frame..3 * frame, 3 * frame..3 * frame + 5));
    assert_eq!(layout.len_bytes(), 3 * frame + 5);
}

#[test]
#[should_panic(expected = "a frame of 6 stored bytes")]
fn a_frame_is_stored_in_no_more_bytes_than_it_has() {
    Layout::new(5).expect("memory").push(6);
}

#[test]
fn a_failed_store_ends_the_encoding() {
    struct Full;
    impl From<TryReserveError> for Full {
        fn from(_: TryReserveError) -> Self {
            unreachable!("there is memory")
        }
    }
    let payload = vec![0; 3 * FRAME_BYTES];
    let (mut workspace, mut calls) = (workspace(), 0);
    let form = Form::all_for(1).next().expect("a form");
    let outcome = workspace.encode_all(&[IoSlice::new(&payload)], units::to_u64(payload.len()), form, |_| {
        calls += 1;
        if calls == 2 { Err(Full) } else { Ok(()) }
    });
    assert!(outcome.is_err() && calls == 2);
    round_trip(&mut workspace, &payload[..FRAME_BYTES], form);
}

#[test]
fn nothing_is_left_after_a_wipe() {
    let mut random = noise();
    let payload: Vec<u8> = (0..FRAME_BYTES).flat_map(|_| (random() % 1000 + 1).to_le_bytes()).collect();
    let mut workspace = workspace();
    for form in Form::all_for(8) {
        let slices = cut(&payload, &[9]);
        let mut stored = Vec::new();
        let layout = workspace.encode_all(&slices, units::to_u64(payload.len()), form, |frame| {
            stored.extend_from_slice(frame);
            Ok::<(), TryReserveError>(())
        });
        let layout = layout.expect("memory");
        assert!(!is_wiped(&workspace), "{form:?} uses it");
        workspace.wipe();
        assert!(is_wiped(&workspace), "{form:?}");
        let mut back = vec![0; payload.len() - 2];
        assert_eq!(workspace.decode_range(&layout, &stored, &(1..layout.len_bytes() - 1), &mut back), Ok(()));
        assert!(back == payload[1..payload.len() - 1] && !is_wiped(&workspace), "{form:?} uses it");
        workspace.wipe();
        assert!(is_wiped(&workspace), "{form:?}");
    }
}

fn is_wiped(workspace: &Workspace) -> bool {
    workspace.coder.is_wiped() && workspace.gathered.iter().all(|&byte| byte == 0)
}

proptest! {
    /// Any frame in any form, and never more bytes than it has.
    #[test]
    fn frames_come_back(frame in bytes(FRAME_BYTES), width in 0..5usize) {
        let mut workspace = workspace();
        for form in Form::all_for(WIDTHS[width]) {
            prop_assert!(round_trip(&mut workspace, &frame, form) <= frame.len());
        }
    }

    /// However a payload is cut into slices, its frames are those of one slice, and are decoded one by one, in any order.
    #[test]
    fn cuts_do_not_matter(payload in bytes(5 * FRAME_BYTES), cuts in vec(0..40_000usize, 0..6), width in 0..5usize) {
        let slices = cut(&payload, &cuts);
        let len = payload.len();
        let chosen = workspace().choose(&slices, units::to_u64(len), WIDTHS[width]);
        prop_assert_eq!(chosen, workspace().choose(&[IoSlice::new(&payload)], units::to_u64(len), WIDTHS[width]));
        let Some(form) = chosen else { return Ok(()) };
        let (layout, stored) = encode(&slices, len, form);
        let in_one = encode(&[IoSlice::new(&payload)], len, form);
        prop_assert!(in_one == (layout.clone(), stored.clone()));
        prop_assert_eq!(layout.stored_bytes(), units::to_u64(stored.len()));
        for frame in layout.frames(&(0..layout.len_bytes())).rev() {
            let expected = &payload[within(&layout.payload(frame), 0)];
            let mut back = vec![0; expected.len()];
            prop_assert_eq!(workspace().decode(&stored[within(&layout.stored(&(frame..frame + 1)), 0)], &mut back), Ok(()));
            prop_assert!(back == expected);
        }
    }

    /// Any range, from the stored bytes of its frames alone; and damage names a frame of it.
    #[test]
    fn ranges_are_those_of_the_payload(
        payload in bytes(5 * FRAME_BYTES),
        width in 0..5usize,
        ends in any::<[prop::sample::Index; 2]>(),
        flip in any::<prop::sample::Index>(),
    ) {
        let slices = [IoSlice::new(&payload)];
        let form = Form::all_for(WIDTHS[width]).last().expect("a form");
        let (layout, stored) = encode(&slices, payload.len(), form);
        let [first, second] = ends.map(|end| end.index(payload.len() + 1));
        let range = first.min(second)..first.max(second);
        let wanted = units::to_u64(range.start)..units::to_u64(range.end);
        let frames = layout.frames(&wanted);
        let mut read = stored[within(&layout.stored(&frames), 0)].to_vec();
        let mut into = vec![0xa5; range.len()];
        let mut workspace = workspace();
        prop_assert_eq!(workspace.decode_range(&layout, &read, &wanted, &mut into), Ok(()));
        prop_assert!(into == payload[range]);
        if !read.is_empty() {
            let place = flip.index(read.len());
            read[place] ^= 0x80;
            if let Err(start) = workspace.decode_range(&layout, &read, &wanted, &mut into) {
                let frame = units::to_usize(start) / FRAME_BYTES;
                let damaged = within(&layout.stored(&(frame..frame + 1)), layout.stored(&frames).start);
                prop_assert!(frames.contains(&frame) && damaged.contains(&place));
            }
        }
    }

    /// Damaged frames are decoded to something or refused, and the workspace is good for the next one.
    #[test]
    fn damage_is_survived(
        frame in bytes(FRAME_BYTES),
        width in 0..5usize,
        flips in vec((any::<prop::sample::Index>(), 1..=255u8), 0..4),
        cut in any::<prop::sample::Index>(),
        len in 0..=FRAME_BYTES,
    ) {
        let mut workspace = workspace();
        for form in Form::all_for(WIDTHS[width]) {
            let mut encoded = workspace.encode(&frame, form).to_vec();
            for (place, flip) in &flips {
                if !encoded.is_empty() {
                    let place = place.index(encoded.len());
                    encoded[place] ^= flip;
                }
            }
            let _ = workspace.decode(&encoded, &mut vec![0; frame.len()]);
            let _ = workspace.decode(&encoded[..cut.index(encoded.len() + 1)], &mut vec![0; frame.len()]);
            let _ = workspace.decode(&encoded, &mut vec![0; len]);
            round_trip(&mut workspace, &frame, form);
        }
    }

    /// Whatever the bytes are.
    #[test]
    fn any_bytes_are_survived(encoded in vec(any::<u8>(), 0..400), len in 0..2000usize) {
        let _ = workspace().decode(&encoded, &mut vec![0; len]);
    }
}
