package usage

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMan(t *testing.T) {
	const want = `.TH "DLS" "1" "" "dls 1.0.0" "User Commands"
.SH "NAME"
dls \- deliver logs; don\(aqt lose any
.SH "SYNOPSIS"
\fBdls\fR [\fBsync\fR] [\fIoptions\fR] \fICONFIG\fR
.br
\fBdls\fR \fBschedule\fR [\fIoptions\fR] \fICONFIG\fR [\fBsystemd|cron\fR]
.br
\fBdls\fR \fBdemo\fR
.br
\fBdls\fR \fB\-\-help\fR
.SH "DESCRIPTION"
\&.TH is no macro here
.PP
A \e stays, \(aqquotes\(aq too, and \[u2014] a dash.
.PP
The command \fBsync\fR may be left out: \fBdls\fR \fICONFIG\fR is the same as \fBdls\fR \fBsync\fR \fICONFIG\fR.
.SH "COMMANDS"
.SS "dls sync"
Run: it\(aqs [once]; $HOME \(gaid\(ga \e "x".
.PP
\(aqTis more.
.TP
\fICONFIG\fR
The file.
.TP
\fB\-\-endpoint\fR \fIauth,\[u2026]\fR
Only these. One or more of auth, activity, telephony.
.TP
\fB\-\-max\-runtime\fR \fI50m\fR
Stop: then.
.TP
\fB\-l\fR, \fB\-\-log\fR \fIFILE\fR
Write [here].
.TP
\fB\-v\fR, \fB\-\-verbose\fR
Say \[u2018]more\[u2019].
.PP
By hand:
.PP
.RS "4"
.nf
dls \-v config.yml
\&.dls \(aqx\(aq
.fi
.RE
.SS "dls schedule"
Print a job.
.TP
\fIKIND\fR
One of systemd, cron.
.TP
\fB\-f\fR, \fB\-\-format\fR \fIFORMAT\fR
How. One of json, cef. Default: json.
.SS "dls demo"
.SH "OPTIONS OF EVERY COMMAND"
.TP
\fB\-h\fR, \fB\-\-help\fR
Show it.
.SH "EXIT STATUS"
.TP
\fB0\fR
Done.
.TP
\fB75\fR
Locked.
.SH "FILES"
.TP
\fB/tmp/duologsync.log\fR
Messages.
.SH "EXAMPLES"
One:
.PP
.RS "4"
.nf
dls demo
.fi
.RE
.PP
Two:
.PP
.RS "4"
.nf
dls x
.fi
.RE
.SH "SEE ALSO"
\fBcron\fR(8),
\fBsystemd.timer\fR(5)
`
	if diff := cmp.Diff(want, Man(example())); diff != "" {
		t.Errorf("manual (-want +got):\n%s", diff)
	}
}

// groff finds nothing to warn of, and shows texts as they are.
func TestManFormatted(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("no groff here")
	}
	cmd := exec.CommandContext(t.Context(), groff, "-ww", "-Tutf8", "-man")
	cmd.Stdin = strings.NewReader(Man(example()))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("groff: %v\n%s", err, &stderr)
	}
	shown := regexp.MustCompile(`\x1b\[[0-9;]*m|.\x08`).ReplaceAllString(string(out), "")
	for _, want := range []string{
		".TH is no macro here",
		`A \ stays, 'quotes' too, and — a dash.`,
		"Run: it's [once]; $HOME `id` \\ \"x\".",
		"'Tis more.",
		"--max-runtime 50m",
		"           .dls 'x'\n",
		"cron(8), systemd.timer(5)",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
}
