package pyyaml

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestScalars holds what PyYAML 6.0.3's safe_load makes of each text as the
// only item of a list.
func TestScalars(t *testing.T) {
	for _, tt := range pyyamlScalars {
		t.Run(tt.in, func(t *testing.T) {
			doc, err := Parse([]byte("- " + tt.in + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			n := Resolve(doc).Content[0]
			got := scalar{tt.in, KindOf(n), ""}
			switch got.kind {
			case Bool:
				b, _ := Boolean(n)
				got.value = strconv.FormatBool(b)
			case Int:
				i, _ := BigInt(n)
				got.value = i.String()
			case Float:
				f, _ := Float64(n)
				got.value = pythonRepr(f)
			case String:
				got.value, _ = Text(n)
			case Timestamp:
				_, at := read(n)
				got.value = at.(time.Time).Format("2006-01-02T15:04:05.000000")
			}
			if diff := cmp.Diff(tt, got, cmp.AllowUnexported(scalar{})); diff != "" {
				t.Errorf("scalar (-want +got):\n%s", diff)
			}
		})
	}
}

func pythonRepr(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if f == math.Trunc(f) && !math.IsInf(f, 0) {
		s += ".0"
	}
	return s
}

// The value is empty for kinds without an accessor; a time is in UTC.
type scalar struct {
	in    string
	kind  Kind
	value string
}

var pyyamlScalars = []scalar{
	{`~`, Null, ``},
	{`null`, Null, ``},
	{`Null`, Null, ``},
	{`NULL`, Null, ``},
	{`nUll`, String, `nUll`},
	{`none`, String, `none`},
	{`None`, String, `None`},
	{`yes`, Bool, `true`},
	{`Yes`, Bool, `true`},
	{`YES`, Bool, `true`},
	{`yEs`, String, `yEs`},
	{`no`, Bool, `false`},
	{`No`, Bool, `false`},
	{`NO`, Bool, `false`},
	{`on`, Bool, `true`},
	{`On`, Bool, `true`},
	{`ON`, Bool, `true`},
	{`off`, Bool, `false`},
	{`Off`, Bool, `false`},
	{`OFF`, Bool, `false`},
	{`true`, Bool, `true`},
	{`True`, Bool, `true`},
	{`TRUE`, Bool, `true`},
	{`tRue`, String, `tRue`},
	{`false`, Bool, `false`},
	{`False`, Bool, `false`},
	{`FALSE`, Bool, `false`},
	{`y`, String, `y`},
	{`Y`, String, `Y`},
	{`n`, String, `n`},
	{`N`, String, `N`},
	{`t`, String, `t`},
	{`f`, String, `f`},
	{`0`, Int, `0`},
	{`00`, Int, `0`},
	{`7`, Int, `7`},
	{`07`, Int, `7`},
	{`08`, String, `08`},
	{`09`, String, `09`},
	{`0644`, Int, `420`},
	{`-0644`, Int, `-420`},
	{`+12`, Int, `12`},
	{`-12`, Int, `-12`},
	{`12_000`, Int, `12000`},
	{`1_`, Int, `1`},
	{`0_`, Int, `0`},
	{`0b101`, Int, `5`},
	{`0b_`, Invalid, ``},
	{`0b2`, String, `0b2`},
	{`-0b11`, Int, `-3`},
	{`0B1`, String, `0B1`},
	{`0o17`, String, `0o17`},
	{`0x1F`, Int, `31`},
	{`0x_f`, Int, `15`},
	{`0xg`, String, `0xg`},
	{`0X1f`, String, `0X1f`},
	{`-0x10`, Int, `-16`},
	{`_1`, String, `_1`},
	{`1__0`, Int, `10`},
	{`+`, String, `+`},
	{`-`, Sequence, ``},
	{`1-`, String, `1-`},
	{`12345678901234567890123`, Int, `12345678901234567890123`},
	{`1:30`, Int, `90`},
	{`01:30`, String, `01:30`},
	{`0:30`, String, `0:30`},
	{`1:60`, String, `1:60`},
	{`190:20:30`, Int, `685230`},
	{`-1:30`, Int, `-90`},
	{`1:2:3:4`, Int, `223384`},
	{`1:5`, Int, `65`},
	{`10:00`, Int, `600`},
	{`22:22:22`, Int, `80542`},
	{`1_0:30`, Int, `630`},
	{`1:30.5`, Float, `90.5`},
	{`0:30.5`, Float, `30.5`},
	{`1:30.`, Float, `90.0`},
	{`1:1_0`, String, `1:1_0`},
	{`1.5`, Float, `1.5`},
	{`1.`, Float, `1.0`},
	{`.5`, Float, `0.5`},
	{`-.5`, String, `-.5`},
	{`+.5`, String, `+.5`},
	{`+1.5`, Float, `1.5`},
	{`1.5e3`, String, `1.5e3`},
	{`1.5e+3`, Float, `1500.0`},
	{`1.5E-3`, Float, `0.0015`},
	{`1e3`, String, `1e3`},
	{`1e+3`, String, `1e+3`},
	{`1e10`, String, `1e10`},
	{`6e8`, String, `6e8`},
	{`.e3`, String, `.e3`},
	{`1_000.5`, Float, `1000.5`},
	{`1.5_5`, Float, `1.55`},
	{`._5`, String, `._5`},
	{`.`, String, `.`},
	{`..`, String, `..`},
	{`1.2.3`, String, `1.2.3`},
	{`1.0.0`, String, `1.0.0`},
	{`.inf`, Float, `+Inf`},
	{`.Inf`, Float, `+Inf`},
	{`.INF`, Float, `+Inf`},
	{`-.inf`, Float, `-Inf`},
	{`+.inf`, Float, `+Inf`},
	{`.iNF`, String, `.iNF`},
	{`.nan`, Float, `NaN`},
	{`.NaN`, Float, `NaN`},
	{`.NAN`, Float, `NaN`},
	{`-.nan`, String, `-.nan`},
	{`inf`, String, `inf`},
	{`nan`, String, `nan`},
	{`Infinity`, String, `Infinity`},
	{`1.0e+400`, Float, `+Inf`},
	{`2024-01-02`, Timestamp, `2024-01-02T00:00:00.000000`},
	{`2024-1-2`, String, `2024-1-2`},
	{`2024-13-01`, Invalid, ``},
	{`2023-02-29`, Invalid, ``},
	{`2024-02-29`, Timestamp, `2024-02-29T00:00:00.000000`},
	{`0000-01-01`, Invalid, ``},
	{`2001-12-14t21:59:43.10-05:00`, Timestamp, `2001-12-15T02:59:43.100000`},
	{`2001-12-14T21:59:43Z`, Timestamp, `2001-12-14T21:59:43.000000`},
	{`2001-1-4T1:59:43`, Timestamp, `2001-01-04T01:59:43.000000`},
	{`2001-12-14T24:00:00`, Invalid, ``},
	{`2001-12-14T21:59:60`, Invalid, ``},
	{`2001-12-14T21:59:43+24:00`, Invalid, ``},
	{`2001-12-14T21:59:43.1234567`, Timestamp, `2001-12-14T21:59:43.123456`},
	{`2001-12-14T21:59:43.`, Timestamp, `2001-12-14T21:59:43.000000`},
	{`2001-12-14T21:59`, String, `2001-12-14T21:59`},
	{`<<`, Invalid, ``},
	{`=`, Invalid, ``},
	{`===`, String, `===`},
	{`<<<`, String, `<<<`},
	{`TCP`, String, `TCP`},
	{`127.0.0.1`, String, `127.0.0.1`},
	{`api-x.duosecurity.com`, String, `api-x.duosecurity.com`},
	{`/tmp`, String, `/tmp`},
	{`C:\duo`, String, `C:\duo`},
	{`DIXXXXXXXXXXXXXXXXXX`, String, `DIXXXXXXXXXXXXXXXXXX`},
	{`0123456789abcdef`, String, `0123456789abcdef`},
	{`4111e5`, String, `4111e5`},
	{`12e5`, String, `12e5`},
	{`0e1`, String, `0e1`},
	{`'yes'`, String, `yes`},
	{`"12"`, String, `12`},
	{`'null'`, String, `null`},
	{`''`, String, ``},
	{`""`, String, ``},
	{`"<<"`, String, `<<`},
	{`2001-12-14 21:59:43.10 -5`, Timestamp, `2001-12-15T02:59:43.100000`},
	{`2001-12-14  21:59:43`, Timestamp, `2001-12-14T21:59:43.000000`},
	{`2001-12-14 21:59:43 Z`, Timestamp, `2001-12-14T21:59:43.000000`},
	{`a b`, String, `a b`},
	{`12 13`, String, `12 13`},
	{``, Null, ``},
	{`!!str 12`, String, `12`},
	{`!!str yes`, String, `yes`},
	{`!!str`, String, ``},
	{`!!int '12'`, Int, `12`},
	{`!!int ' 12 '`, Int, `12`},
	{`!!int abc`, Invalid, ``},
	{`!!int 0o17`, Int, `15`},
	{`!!int 1:99`, Int, `159`},
	{`!!int ''`, Invalid, ``},
	{`!!float 1`, Float, `1.0`},
	{`!!float 1e3`, Float, `1000.0`},
	{`!!float nan`, Float, `NaN`},
	{`!!float 0x1`, Invalid, ``},
	{`!!float abc`, Invalid, ``},
	{`!!bool 'YES'`, Bool, `true`},
	{`!!bool 1`, Invalid, ``},
	{`!!null abc`, Null, ``},
	{`!!timestamp '2024-01-02'`, Timestamp, `2024-01-02T00:00:00.000000`},
	{`!!timestamp x`, Invalid, ``},
	{`!!binary aGk=`, Other, ``},
	{`!foo bar`, Invalid, ``},
	{`!!python/name:os.system x`, Invalid, ``},
	{`[]`, Sequence, ``},
	{`{}`, Mapping, ``},
	{`!!set {a, b}`, Other, ``},
	{`!!omap [a: 1]`, Other, ``},
	{`!!map []`, Invalid, ``},
	{`!!seq {}`, Invalid, ``},
	{`!!str {}`, Invalid, ``},
	{`!!int [1]`, Invalid, ``},
	{"|\n  12", String, "12\n"},
	{">\n  yes", String, "yes\n"},
	{`&a 12`, Int, `12`},
	{`12 # twelve`, Int, `12`},
	{`! 12`, Int, `12`},
}
