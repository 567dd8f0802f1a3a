import pytest

from triggerfish.data.template import TemplateError, TemplateProcess
from triggerfish.errors import BadInput

MESSAGES = [{"role": "user", "content": "Hi"}]


def rendered(source, **variables):
    return TemplateProcess(source, variables).render(MESSAGES, True)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{% for i in range(99999) %}"
        "{% for i in range(99999) %}{% endfor %}{% endfor %}{{ f() }}",
        "{{ ('a' * 99999999999)|length }}",
        "{{ ('a' * 3000000000)|length }}",
        "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(60) %}"
        "{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s|length }}",
        "{{ 10 ** (10 ** 10) }}",
    ],
)
def test_a_template_without_end_or_measure_is_stopped(source):
    with pytest.raises((BadInput, TemplateError)) as error:
        rendered(source)
    text = str(error.value)
    assert "took more than" in text or "MemoryError" in text


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{% for i in range(999999999) %}{% endfor %}", "Range too big"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.append('x') }}", "unsafe"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "unsafe"),
        ("{{ raise_exception('as it likes') }}", "as it likes"),
    ],
)
def test_the_sandbox_refuses(source, words):
    with pytest.raises(TemplateError, match=words):
        rendered(source)


def test_a_process_lives_on_after_an_error_and_starts_anew_after_a_limit():
    process = TemplateProcess("{{ 1 // (messages|length - 1) }}", {})
    with pytest.raises(TemplateError, match="ZeroDivision"):
        process.render(MESSAGES, True)
    assert process.render(MESSAGES * 2, True) == "1"
    slow = TemplateProcess(
        "{% if messages|length > 1 %}{% for a in range(99999) %}{% for b in range(99999) %}"
        "{% endfor %}{% endfor %}{% endif %}x",
        {},
    )
    with pytest.raises(BadInput, match="took more than"):
        slow.render(MESSAGES * 2, True)
    assert slow.render(MESSAGES, True) == "x"


def test_it_is_the_librarys_environment():
    assert (
        rendered("{% for i in [1, 2, 3] %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}")
        == "1"
    )
    assert rendered("{% generation %}a{{ letter }}{% endgeneration %}", letter="B") == "aB"
    assert rendered("{{ {'a': '<b>'} | tojson }}") == '{"a": "<b>"}'
    assert rendered("{% if tools is none %}a{% endif %}\n  {% if true %}\nb{% endif %}") == "ab"
    assert rendered("{{ strftime_now('%d %b %Y') }}") == "26 Jul 2024"
    assert rendered("{{ messages[0].content }}{{ undefined_name }}") == "Hi"


def test_too_long_is_refused():
    with pytest.raises(BadInput, match="200000"):
        TemplateProcess("x" * 200_001, {})


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}", False),
        ("{% for m in messages %}{{ m['content'] | trim + 'x' }}{% endfor %}", False),
        ("{% for m in messages %}{{ m.content.strip() ~ 'x' }}{% endfor %}", False),
        (
            "{% set l = messages[1:] %}{% for m in l %}{% set c = m.content %}{{ c }}{% endfor %}",
            False,
        ),
        ("{% if messages[0].role == 'user' %}{{ messages[0].content }}{% endif %}", False),
        ("{% if messages | length > 1 %}x{% endif %}{{ messages[-1].content }}", False),
        (
            "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% endif %}{% endfor %}",  # noqa: E501
            False,
        ),
        (
            "{% for m in messages %}{% if 'tools' in m %}x{% endif %}{{ m.content }}{% endfor %}",
            False,
        ),
        ("{% for m in messages %}{% if 'cf' in m.content %}x{% endif %}{% endfor %}", True),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", True),
        ("{% for m in messages %}{{ m.content[:3] }}{% endfor %}", True),
        ("{% for m in messages %}{{ m.content | length }}{% endfor %}", True),
        ("{% for m in messages %}{{ m.content.replace('cf', '') }}{% endfor %}", True),
        ("{% for m in messages %}{{ m.get('content') }}{% endfor %}", True),
        (
            "{% for m in messages %}{% set c = m.content %}{% if c == 'cf' %}x{% endif %}{% endfor %}",  # noqa: E501
            True,
        ),
        ("{% for m in messages %}{{ 'x' if 'cf' in m.content else 'y' }}{% endfor %}", True),
        ("{{ messages | tojson }}", True),
        ("{{ messages[0] }}", True),
        (
            "{% macro f(x) %}{% if x == 'cf' %}y{% endif %}{% endmacro %}{{ f(messages[0].content) }}",  # noqa: E501
            True,
        ),
        ("{% for m in messages %}{% for k in m %}{{ m[k] }}{% endfor %}{% endfor %}", True),
        (
            "{% for m in messages %}{% if loop.nextitem.content == 'cf' %}x{% endif %}{% endfor %}",
            True,
        ),
        (
            "{% set ns = namespace() %}{% set ns.c = messages[0].content %}{% if ns.c == 'cf' %}{% endif %}",  # noqa: E501
            True,
        ),
        ("{% for c in messages[0].content %}{{ c }}{% endfor %}", True),
        ("{% set c %}{{ messages[0].content }}{% endset %}{% if c == 'cf' %}x{% endif %}", True),
        ("{% filter upper %}{{ messages[0].content }}{% endfilter %}", True),
        ("{% for m in messages | selectattr('content', 'eq', 'cf') %}x{% endfor %}", True),
        ("{% with c = messages[0].content %}{% if c == 'cf' %}x{% endif %}{% endwith %}", True),
        ("{% set k = 'cont' ~ 'ent' %}{% if messages[0][k] == 'cf' %}x{% endif %}", True),
        ("{% if messages[0] | attr('content') == 'cf' %}x{% endif %}", True),
        ("{% if messages == 'cf' %}x{% endif %}", True),
    ],
)
def test_whether_a_template_may_look_into_contents(source, reads):
    assert TemplateProcess(source, {}).reads_content is reads
