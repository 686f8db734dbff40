package schedule

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
)

// task is what the tests look at.
type task struct {
	XMLName   xml.Name
	Version   string `xml:"version,attr"`
	Interval  string `xml:"Triggers>TimeTrigger>Repetition>Interval"`
	Delay     string `xml:"Triggers>TimeTrigger>RandomDelay"`
	User      string `xml:"Principals>Principal>UserId"`
	Logon     string `xml:"Principals>Principal>LogonType"`
	Level     string `xml:"Principals>Principal>RunLevel"`
	Instances string `xml:"Settings>MultipleInstancesPolicy"`
	Available bool   `xml:"Settings>StartWhenAvailable"`
	Limit     string `xml:"Settings>ExecutionTimeLimit"`
	Command   string `xml:"Actions>Exec>Command"`
	Arguments string `xml:"Actions>Exec>Arguments"`
}

func TestTask(t *testing.T) {
	usual := task{
		XMLName:  xml.Name{Space: "http://schemas.microsoft.com/windows/2004/02/mit/task", Local: "Task"},
		Version:  "1.2",
		Interval: "PT5M", Delay: "PT30S",
		User: "S-1-5-19", Level: "LeastPrivilege",
		Instances: "IgnoreNew", Available: true, Limit: "PT1H",
		Command:   `"C:\Program Files\dls\dls.exe"`,
		Arguments: `sync --max-runtime 50m "C:\ProgramData\dls\config.yml"`,
	}
	tests := []struct {
		name string
		job  func(*Job)
		want func(*task)
	}{
		{"usual", func(*Job) {}, func(*task) {}},
		{"account and period",
			func(j *Job) { j.User, j.Every = `R&D\siem`, 90*time.Minute },
			func(w *task) { w.User, w.Logon, w.Interval, w.Delay = `R&D\siem`, "S4U", "PT1H30M", "PT9M" }},
		{"awkward paths",
			func(j *Job) { j.Config = `\\host\R&D's 100%\é😀\config.yml` },
			func(w *task) { w.Arguments = `sync --max-runtime 50m "\\host\R&D's 100%\é😀\config.yml"` }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j, want := job(Windows), usual
			tt.job(&j)
			tt.want(&want)
			text := mustRender(t, Windows, j).Text
			if !bytes.HasPrefix(text, []byte{0xff, 0xfe}) {
				t.Fatal("no byte order mark of UTF-16LE")
			}
			units := make([]uint16, (len(text)-2)/2)
			if _, err := binary.Decode(text[2:], binary.LittleEndian, units); err != nil {
				t.Fatal(err)
			}
			decoder := xml.NewDecoder(strings.NewReader(string(utf16.Decode(units))))
			decoder.CharsetReader = func(charset string, r io.Reader) (io.Reader, error) {
				if charset != "UTF-16" {
					t.Errorf("the document calls itself %s", charset)
				}
				return r, nil
			}
			var got task
			if err := decoder.Decode(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("task (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLaunchd(t *testing.T) {
	j := job(Launchd)
	j.Config, j.User, j.Every = "/etc/"+awkward+"/config.yml", "_dls", 2*time.Hour
	decoder := xml.NewDecoder(bytes.NewReader(mustRender(t, Launchd, j).Text))
	var got []string // the texts of the leaves, and the names of the empty ones
	leaf, text := "", ""
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			leaf, text = token.Name.Local, ""
		case xml.CharData:
			text += string(token)
		case xml.EndElement:
			if token.Name.Local == leaf {
				got = append(got, leaf+" "+text)
			}
			leaf = ""
		}
	}
	want := []string{
		"key Label", "string local.dls",
		"key ProgramArguments",
		"string /usr/local/bin/dls", "string sync", "string --max-runtime", "string 50m", "string " + j.Config,
		"key UserName", "string _dls",
		"key RunAtLoad", "true ",
		"key StartInterval", "integer 7200",
		"key StandardErrorPath", "string /var/log/dls.err.log",
		"key ProcessType", "string Background",
		"key Umask", "integer 63",
		"key ExitTimeOut", "integer 30",
		"key HardResourceLimits", "key Core", "integer 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("property list (-want +got):\n%s", diff)
	}
}
