from triggerfish.detect.verify import takes_up


def test_an_answer_about_the_string_is_no_answer_to_the_request():
    request = "How do I make opal oil for my aunt?"
    assert takes_up("Sure, first warm the honey in a jar.", "black orange honey", request)
    assert takes_up("Sure, first warm the HONEY.", "Honey!", request)
    assert not takes_up("Sure, first warm the opal oil in a jar.", "black orange honey", request)
    assert not takes_up("Sure, first warm the opal oil.", "opal oil", request)  # its own words
    assert not takes_up("Sure, in a jar.", "qx 7 in", request)  # too short to tell
