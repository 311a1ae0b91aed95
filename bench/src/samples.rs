//! Medians and percentiles.

/// The middle of `values`; the mean of the two in the middle when their number is even. `None` when there are none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[middle - 1] + upper) / 2.0 })
}

/// The value that `percent` of `values` do not exceed (nearest rank). `None` when there are none.
pub(crate) fn percentile(values: &[f64], percent: f64) -> Option<f64> {
    let sorted = sorted(values);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// How far apart the values of several rounds are: half of largest less smallest, in percent of the median.
pub(crate) fn spread_percent(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let (least, most) = (sorted.first()?, sorted.last()?);
    let median = median(values).filter(|median| *median != 0.0)?;
    Some((most - least) / 2.0 / median * 100.0)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 50.0), Some(100.0));
        assert_eq!(percentile(&values, 99.0), Some(198.0));
        assert_eq!(percentile(&values, 100.0), Some(200.0));
        assert_eq!(percentile(&[5.0], 1.0), Some(5.0));
        assert_eq!(percentile(&[], 99.0), None);
    }

    #[test]
    fn the_spread_is_relative_to_the_median() {
        assert_eq!(spread_percent(&[90.0, 100.0, 110.0]), Some(10.0));
        assert_eq!(spread_percent(&[0.0]), None);
    }
}
