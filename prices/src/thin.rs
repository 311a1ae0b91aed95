//! Fewer points of lines that have too many.

use rust_decimal::Decimal;

/// First, last, lowest and highest of a line.
const OF_EACH: usize = 4;

/// Which points of each line stay, so that there are at most `most` in all. The first, the last, the lowest and the highest point of
/// each line are among them; what room is left goes to the lines as they have need of it, and there to the lowest and highest point of
/// equal parts. With more lines than a quarter of `most` only the first of them stay.
#[must_use]
pub fn thin(lines: &[Vec<Decimal>], most: usize) -> Vec<Vec<usize>> {
    let n_lines = lines.len().min(most / OF_EACH);
    let n_points = |line: &Vec<Decimal>| line.len();
    let of_each: usize = lines.iter().take(n_lines).map(|line| line.len().min(OF_EACH)).sum();
    let over: usize = lines.iter().take(n_lines).map(|line| line.len().saturating_sub(OF_EACH)).sum();
    let room = most.saturating_sub(of_each);
    let kept = lines.iter().enumerate().map(|(place, line)| {
        if place >= n_lines {
            return Vec::new();
        }
        let more = n_points(line).saturating_sub(OF_EACH);
        // In proportion, rounded down, so that all together are no more than there is room for.
        let more = if over <= room { more } else { more * room / over };
        of_line(line, line.len().min(OF_EACH) + more)
    });
    kept.collect()
}

/// Which points of a line stay, at most so many, of which at least four.
fn of_line(line: &[Decimal], most: usize) -> Vec<usize> {
    let n = line.len();
    if n <= most {
        return (0..n).collect();
    }
    let (lowest, highest) = extremes(line, 0..n);
    let mut kept = vec![0, lowest, highest, n - 1];
    let n_parts = most.saturating_sub(OF_EACH) / 2;
    for part in 0..n_parts {
        let (from, to) = (part * n / n_parts, (part + 1) * n / n_parts);
        let (lowest, highest) = extremes(line, from..to);
        kept.extend([lowest, highest]);
    }
    kept.sort_unstable();
    kept.dedup();
    kept
}

/// The first of the lowest and the first of the highest points of a part that is not empty.
fn extremes(line: &[Decimal], part: std::ops::Range<usize>) -> (usize, usize) {
    let (mut lowest, mut highest) = (part.start, part.start);
    for at in part {
        if line[at] < line[lowest] {
            lowest = at;
        }
        if line[at] > line[highest] {
            highest = at;
        }
    }
    (lowest, highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Amounts that go up and down by no rule that one sees.
    fn line(n: usize, seed: u64) -> Vec<Decimal> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Decimal::new(i64::try_from(state >> 45).unwrap(), 2)
        };
        (0..n).map(next).collect()
    }

    #[test]
    fn a_series_has_at_most_500_points_and_keeps_first_last_lowest_and_highest_of_each_line() {
        for lines in [
            vec![],
            vec![line(0, 1)],
            vec![line(1, 1)],
            vec![line(500, 1)],
            vec![line(501, 1)],
            vec![line(10_000, 1), line(3, 2), line(1, 3)],
            (0..20).map(|n| line(n * 37, n as u64)).collect(),
            (0..125).map(|n| line(1000, n)).collect(),
        ] {
            let kept = thin(&lines, 500);
            let n: usize = kept.iter().map(Vec::len).sum();
            let all: usize = lines.iter().map(Vec::len).sum();
            assert!(n <= 500 && (n == all || all > 500), "{n} of {all}");
            assert!(all <= 500 || n > 250, "the room is used: {n} of {all}");
            for (line, kept) in lines.iter().zip(&kept).filter(|(line, _)| !line.is_empty()) {
                assert!(kept.is_sorted_by(|one, other| one < other), "{kept:?}");
                let of_kept: Vec<Decimal> = kept.iter().map(|at| line[*at]).collect();
                assert_eq!((kept[0], *kept.last().unwrap()), (0, line.len() - 1));
                assert_eq!(of_kept.iter().min(), line.iter().min());
                assert_eq!(of_kept.iter().max(), line.iter().max());
            }
        }
    }

    #[test]
    fn of_too_many_lines_the_first_stay() {
        let kept = thin(&vec![line(9, 1); 200], 500);
        assert!(kept[124].len() >= 3 && kept[125].is_empty());
        assert!(kept.iter().map(Vec::len).sum::<usize>() <= 500);
    }

    #[test]
    fn a_short_drop_is_not_lost() {
        let mut line = vec![Decimal::from(100); 5_000];
        line[2_345] = Decimal::from(80);
        line[4_001] = Decimal::from(90);
        let kept = &thin(&[line], 500)[0];
        assert!(kept.contains(&2_345) && kept.contains(&4_001));
    }
}
