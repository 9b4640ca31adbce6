//! How the demo speaks: numbered steps, short lines, no secret.

use std::time::Instant;

/// Numbers the steps and shows the time of each.
pub struct Stage {
    pub began: Instant,
    pub steps: u32,
}

impl Stage {
    pub fn step(&mut self, title: &str) {
        self.steps += 1;
        let at = self.began.elapsed().as_secs_f64();
        println!("\n{:2}. {title}  [{at:.1} s]", self.steps);
    }
}

pub fn say(text: impl AsRef<str>) {
    println!("    {}", text.as_ref());
}

/// The first characters of a secret: enough to tell two apart, too few to use.
pub fn hint(secret: &str) -> String {
    format!("{}…", secret.chars().take(8).collect::<String>())
}
