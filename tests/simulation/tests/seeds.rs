//! Many seeds, or the one that is looked at:
//! `SIMULATION_SEED=n` runs that one and prints its log, `SIMULATION_SEEDS=n`
//! says how many there are.

use longwire_simulation::run;

const SEEDS: u64 = 10_000;
/// After so many it is clear that something is wrong.
const ENOUGH: usize = 20;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}: expected a number, got {value:?}")))
}

#[test]
fn whatever_happens_the_promises_hold() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let outcome = run::seed(seed);
        println!("{}", outcome.log.join("\n"));
        assert!(outcome.failures.is_empty(), "{}", outcome.failures.join("\n"));
        return;
    }
    let mut broken = 0;
    for seed in 0..number("SIMULATION_SEEDS").unwrap_or(SEEDS) {
        let outcome = run::seed(seed);
        if outcome.failures.is_empty() {
            continue;
        }
        if broken == 0 {
            println!("{}", outcome.log.join("\n"));
        }
        println!("SIMULATION_SEED={seed}: {}", outcome.failures.join("; "));
        broken += 1;
        if broken == ENOUGH {
            break;
        }
    }
    assert!(broken == 0, "SIMULATION_SEED=n runs one of them alone");
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..200 {
        let (first, second) = (run::seed(seed), run::seed(seed));
        let at = first.log.iter().zip(&second.log).position(|(first, second)| first != second);
        let lines = at.map(|at| (&first.log[at], &second.log[at]));
        assert!(first == second, "SIMULATION_SEED={seed} is another run each time: {lines:?}");
    }
}
