package schedule

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

func renderCron(j Job) ([]byte, error) {
	when, err := cronTime(j.Every)
	if j.Audit {
		when, err = "20 4 * * 0", nil
	}
	if err != nil {
		return nil, err
	}
	return fill("cron.tmpl", j, map[string]any{"When": when})
}

// cronTime is a period as the five fields of crontab(5). Cron counts anew each
// hour and each day, so a period that does not divide them is an error.
func cronTime(every time.Duration) (string, error) {
	switch minutes, hours := even(every); {
	case minutes == 1:
		return "* * * * *", nil
	case minutes > 0:
		return fmt.Sprintf("*/%d * * * *", minutes), nil
	case hours == 1:
		return "0 * * * *", nil
	case hours == 24:
		return "0 0 * * *", nil
	case hours > 0:
		return fmt.Sprintf("0 */%d * * *", hours), nil
	}
	return "", fmt.Errorf("every %s: cron needs a period that divides an hour or a day evenly, such as 5m, 15m or 6h", period(every))
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@,+-]+$`)

// cronWord quotes a word for the shell inside a crontab line. Cron ends the
// command at a percent sign without a backslash (crontab(5)), and some crons
// leave the backslash to the shell: outside the quotes it is right for both.
func cronWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.NewReplacer(`'`, `'\''`, `%`, `'\%'`).Replace(s) + "'"
}
