//! Words to fill pages with: the same ones for the same page, on every machine.

const WORDS: [&str; 32] = [
    "crossing", "signal", "crowd", "train", "platform", "lantern", "umbrella", "ticket", "night",
    "rain", "station", "coffee", "window", "neon", "street", "bridge", "clock", "stairs", "poster",
    "market", "record", "vinyl", "taxi", "alley", "vending", "machine", "river", "tower", "garden",
    "shrine", "whistle", "scramble",
];

/// Paragraphs whose number and words depend on `seed` alone.
pub(super) fn paragraphs(seed: u32) -> String {
    let mut random = Lcg(seed);
    let mut html = String::new();
    for _ in 0..2 + random.below(6) {
        html.push_str("<p>");
        for _ in 0..20 + random.below(60) {
            html.push_str(WORDS[random.below(WORDS.len())]);
            html.push(' ');
        }
        html.push_str("</p>\n");
    }
    html
}

/// A linear congruential generator: enough for filler, and needs no dependency.
struct Lcg(u32);

impl Lcg {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) as usize % bound
    }
}
