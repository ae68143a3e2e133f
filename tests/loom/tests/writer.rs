//! One test for each scenario.

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test] fn $name() { longwire_loom::scenarios::$name(); })*
    };
}

scenarios! {
    whoever_flushes_takes_along_what_others_add
    a_burst_is_left_to_the_runtime
    what_a_heap_leaves_behind_leaves_too
    what_is_owed_leaves_at_the_end_of_the_turn
    a_full_socket_is_gone_on_with_when_it_is_writable
    what_tls_holds_back_leaves_too
    a_sender_whose_message_was_refused_is_told_of_room
    what_a_lost_connection_did_not_begin_leaves_on_the_next
    nothing_comes_between_the_fragments_of_a_message
}
