package template_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"latchkey/shared/notification/template"
)

// data is an alert as templates see it.
func data() map[string]any {
	return map[string]any{
		"id": "650000000000000000000030", "status": "OPEN", "clusterName": `a "quoted" name`, "event": "alert.open",
		"currentValue": map[string]any{"number": json.Number("91"), "units": "DAYS"},
		"links":        []any{map[string]any{"rel": "self", "href": "https://a"}, map[string]any{"rel": "config", "href": "https://b"}},
		"tags":         []any{},
		"enabled":      true,
	}
}

func render(source string) (string, error) {
	t, err := template.Parse(source)
	if err != nil {
		return "", err
	}
	return t.Render(data(), template.EscapeJSON)
}

func TestRender(t *testing.T) {
	for source, want := range map[string]string{
		"":                                      "",
		"plain $ < {} text":                     "plain $ < {} text",
		`${id}`:                                 "650000000000000000000030",
		`${ id }`:                               "650000000000000000000030",
		`${clusterName}`:                        `a \"quoted\" name`,
		`${clusterName?js_string}`:              `a \"quoted\" name`,
		`${clusterName?json_string}`:            `a \"quoted\" name`,
		`${currentValue.number}`:                "91",
		`${currentValue["units"]}`:              "DAYS",
		`${(currentValue.number)!0}`:            "91",
		`${(a.b.c)!0}`:                          "0",
		`${nothing!}`:                           "",
		`${nothing!''}`:                         "",
		`${nothing!"x"}`:                        "x",
		`${nothing!id}`:                         "650000000000000000000030",
		`${status?lower_case}`:                  "open",
		`${links[1].rel}`:                       "config",
		`${links?size}`:                         "2",
		`${(links[9].rel)!"none"}`:              "none",
		`<#-- nobody sees this ${x} -->seen`:    "seen",
		`<#if status == "OPEN">a<#else>b</#if>`: "a",
		`<#if status != "OPEN">a<#elseif event == "alert.open">b<#else>c</#if>`:                   "b",
		`<#if nothing?? || !(status == "OPEN")>a</#if>`:                                           "",
		`<#if status?has_content && clusterName??>a</#if>`:                                        "a",
		`<#if tags?has_content>a<#else>b</#if>`:                                                   "b",
		`<#list links as l>${l.rel}<#if l_has_next>,</#if></#list>`:                               "self,config",
		`<#list links as l>${l_index}${l.rel}<#sep>, </#sep></#list>`:                             "0self, 1config",
		`<#list links as l><#if l?has_next>${l.rel}</#if></#list>`:                                "self",
		`<#list nothing![] as l>${l}</#list>`:                                                     "",
		`<#list ["a", "b"] as l>${l}</#list>`:                                                     "ab",
		`<#list links as a><#list links as b>${a.rel}${b.rel} </#list></#list>`:                   "selfself selfconfig configself configconfig ",
		`${re.group("abc-123", "([a-z]+)-(\\d+)", 2)}`:                                            "123",
		`${re.group("abc-123", "([a-z]+)-(\d+)", 1)}`:                                             "abc",
		`${re.group("abc", "x(y)", 1)}`:                                                           "",
		`<#list re.findAllGroup("error1:12;error2:98", "error\\d+:(\\d+)", 1) as v>${v} </#list>`: "12 98 ",
		`${enabled}`: "true",
		`${"a\"b"}`:  `a\"b`,
	} {
		got, err := render(source)
		if err != nil || got != want {
			t.Errorf("%s gives %q, %v, want %q", source, got, err, want)
		}
	}
}

func TestParse_refuses_what_it_does_not_know(t *testing.T) {
	for _, source := range []string{
		"${", "${}", "${id", "${id?unknown}", "${id?new()}", `${"x"?eval}`, "<#if>", "<#if status", "<#if x>", "</#if>", "<#else>", "<#list a>x</#list>", "<#list a as b>",
		`<#assign x = 1>`, `<#macro m></#macro>`, `<@m/>`, `<#include "/etc/passwd">`, `<#import "x" as y>`, `<#function f></#function>`, "<#-- x",
		`${"freemarker.template.utility.Execute"?new()("id")}`, `${.data_model}`, "${a.}", "${a[}", "${a[1}", "${(a}", "${1.2.3}", `${'x}`, "${a,b}",
		strings.Repeat("(", 100), "${" + strings.Repeat("(", 100) + "a" + strings.Repeat(")", 100) + "}", "${" + strings.Repeat("!", 1000) + "a}",
		strings.Repeat("<#if a>", 100), strings.Repeat("a", 17<<10), `<#if a>b<#elseif a>` + strings.Repeat("<#elseif a>", 100) + "</#if>",
	} {
		if _, err := template.Parse(source); source != strings.Repeat("(", 100) && !errors.Is(err, template.ErrMalformed) {
			t.Errorf("%.60q gives %v", source, err)
		}
	}
}

func TestRender_fails_where_a_value_is_missing_or_no_text(t *testing.T) {
	for _, source := range []string{
		"${nothing}", "${links}", "${currentValue}", "${id.x}", "<#if id>a</#if>", "<#if nothing>a</#if>", "<#list id as x>a</#list>", "<#list nothing as x>a</#list>",
		`<#if links == "a">a</#if>`, `${re.group("a")}`, `${re.group("a", "(", 1)}`, `${re.group("a", "a", "b")}`, `${re.group(links, "a", 1)}`, `${nothing?upper_case}`,
	} {
		if got, err := render(source); !errors.Is(err, template.ErrRender) {
			t.Errorf("%s gives %q, %v", source, got, err)
		}
	}
}

// What costs much is given up, whatever it is made of.
func TestRender_is_bounded(t *testing.T) {
	ten := `["a","a","a","a","a","a","a","a","a","a"]`
	loops := strings.Repeat("<#list "+ten+" as x>", 8) + "x" + strings.Repeat("</#list>", 8)
	long := `<#list ` + ten + ` as x><#list ` + ten + ` as y>` + strings.Repeat("z", 8000) + `</#list></#list>`
	slow := `<#list ` + ten + ` as x><#list ` + ten + ` as y>${re.group("` + strings.Repeat("a", 4000) + `", "(` + strings.Repeat("a?", 60) + strings.Repeat("a", 60) + `){9}", 1)}</#list></#list>`
	many := "[" + strings.Repeat("1,", 3000) + "1]"
	empty := "<#list " + many + " as x><#list " + many + " as y></#list></#list>"
	texts := "<#list " + many + " as x><#if '" + strings.Repeat("a", 7000) + "'?upper_case == 'a'></#if></#list>"
	huge := `${re.group("a", "((a{100}){10}){1000}", 1)}`
	for name, source := range map[string]string{"loops": loops, "loops over nothing": empty, "long texts": texts, "a long output": long, "slow patterns": slow, "a huge pattern": huge, "a long pattern": `${re.group("a", "` + strings.Repeat("a", 300) + `", 0)}`} {
		if got, err := render(source); !errors.Is(err, template.ErrRender) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// Whatever is put in stays within the quotation marks it was put into.
func FuzzRender(f *testing.F) {
	for _, seed := range []string{
		`{"a": "${id}"}`, `<#list links as l>${l.href!''}<#sep>,</#list>`, `${re.group("abc-123", "([a-z]+)-(\d+)", 2)}`, `<#if a??>b<#elseif c == 1>d<#else>e</#if>`,
		`${(a.b)!0}`, `${a[1]["b"]?upper_case!"c"}`, `<#-- c -->`, `${`, `</#list>`, `${"\`, `${'\u0000'}`, "<#list x![] as y>${y_index}</#list>", `${1e9}`, `${re.findAllGroup(id, "(.)", 1)?size}`,
		"\xff\xfe", `${id?js_string?json_string}`, `<#list [[],[1]] as x>${x?size}</#list>`, "<#if !!!a>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		got, err := render(source)
		if err != nil && !errors.Is(err, template.ErrMalformed) && !errors.Is(err, template.ErrRender) {
			t.Errorf("an error of another kind: %v", err)
		}
		if len(got) > 64<<10 {
			t.Errorf("%d bytes", len(got))
		}
	})
}

func FuzzEscapeJSON(f *testing.F) {
	for _, seed := range []string{`"`, `\`, "\n", "\x00", "\xff", "</script>", " ", "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal([]byte(`"`+template.EscapeJSON(s)+`"`), &got); err != nil || got != strings.ToValidUTF8(s, "�") && got != s {
			if strings.ToValidUTF8(s, "") == s {
				t.Errorf("%q is read as %q, %v", s, got, err)
			}
		}
	})
}
