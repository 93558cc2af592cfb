//! The command line is understood as its help says.

use clap::{CommandFactory as _, Parser as _};
use usher_common::model::Channel;

use super::args::{Args, CampaignCommand, Command, Format, GuestsCommand};

fn parse(line: &str) -> Result<Args, clap::Error> {
    Args::try_parse_from(std::iter::once("usher").chain(line.split(' ')))
}

#[test]
fn the_command_line_is_consistent() {
    Args::command().debug_assert();
}

#[test]
fn global_flags_stand_anywhere() {
    let args = parse("campaign list --output json --socket /tmp/x.sock").expect("understood");
    assert_eq!(args.global.output, Format::Json);
    assert_eq!(args.global.socket.to_str(), Some("/tmp/x.sock"));
}

#[test]
fn an_import_names_its_list_and_who_answers_for_it() {
    assert!(parse("guests import - --list Everyone").is_err(), "nobody vouches");
    let args = parse("guests import - --list Everyone --vouched-by ana --country FR").expect("understood");
    let Some(Command::Guests { command: GuestsCommand::Import { file, country, .. } }) = args.command else {
        panic!("not an import");
    };
    assert_eq!((file.to_str(), country.as_str()), (Some("-"), "FR"));
}

#[test]
fn channels_come_in_order_and_acts_take_a_reason() {
    let args = parse("campaign create --name x --channel sms,email --reason why --dry-run").expect("understood");
    let Some(Command::Campaign { command: CampaignCommand::Create { spec, act } }) = args.command else {
        panic!("not a create");
    };
    assert_eq!(spec.channels, [Channel::Sms, Channel::Email]);
    assert!(act.dry_run && act.reason == "why");
}

#[test]
fn what_cannot_be_is_refused() {
    assert!(parse("--connect ws://127.0.0.1:1 --ssh host status").is_err(), "two roads");
    assert!(parse("--token-file t status").is_err(), "a token for nothing");
    assert!(parse("campaign messages c1 --state sent").is_err(), "no such state");
    assert!(parse("guests edit l1 g1 nonsense").is_err(), "no field");
    let args = parse("--connect ws://10.0.0.1:80 status").expect("understood so far");
    assert!(args.global.target().is_err(), "not on this machine");
}

#[test]
fn help_lists_the_exit_codes() {
    let help = Args::command().render_long_help().to_string().replace('\n', " ");
    for part in ["3 not reachable", "4 not found", "5 conflict", "6 partial", "7 cancelled"] {
        assert!(help.contains(part), "{part}");
    }
}

#[test]
fn help_of_a_subcommand_gives_its_own_options_before_those_of_all() {
    let mut command = Args::command();
    command.build();
    let import = command.find_subcommand_mut("guests").and_then(|c| c.find_subcommand_mut("import"));
    let help = import.expect("it is there").render_long_help().to_string();
    let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text} is missing in {help}"));
    assert!(at("--list <") < at("--vouched-by <") && at("--vouched-by <") < at("--country <"));
    assert!(at("--dry-run") < at("Connection and output:") && at("Connection and output:") < at("--socket <"));
    assert!(help.contains("dietary_requirements") && help.contains("exit code is 0"), "{help}");
}
