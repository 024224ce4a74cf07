#include <gen/words.h>

#include <stdio.h>

const char *const gen_ns_names[GEN_NS_COUNT] = {"member", "phone",  "unionid",  "openid",
                                                "tmall",  "douyin", "customer", "device"};
const char *const gen_source_names[GEN_SOURCE_COUNT] = {"crm",    "wechat", "tmall",
                                                        "douyin", "app",    "pos"};
const char *const gen_gender_names[GEN_GENDER_COUNT] = {"M", "F", "U"};
const char *const gen_city_names[GEN_CITY_COUNT] = {
    "上海", "北京", "杭州", "广州", "深圳", "成都", "重庆",   "武汉", "西安",   "苏州",
    "南京", "天津", "长沙", "郑州", "东莞", "青岛", "沈阳",   "宁波", "昆明",   "合肥",
    "佛山", "福州", "无锡", "厦门", "济南", "大连", "哈尔滨", "温州", "石家庄", "南宁",
    "泉州", "长春", "南昌", "贵阳", "金华", "常州", "惠州",   "嘉兴", "南通",   "徐州"};
const char *const gen_category_names[GEN_CATEGORY_COUNT] = {
    "奶粉", "尿裤", "辅食", "玩具", "童装", "童鞋", "洗护", "图书", "车床", "孕产", "零食", "家居"};
const char *const gen_interest_names[GEN_INTEREST_COUNT] = {
    "亲子", "阅读", "旅行", "运动", "美食", "摄影", "音乐", "园艺", "手工", "露营", "电影", "棋类"};
const char *const gen_tag_names[GEN_TAG_COUNT] = {
    "new", "cart", "trial", "sleeping", "vip", "618 大促", "新手妈妈", "高客单", "t08", "t09",
    "t10", "t11",  "t12",   "t13",      "t14", "t15",      "t16",      "t17",    "t18", "t19",
    "t20", "t21",  "t22",   "t23",      "t24", "t25",      "t26",      "t27",    "t28", "t29",
    "t30", "t31",  "t32",   "t33",      "t34", "t35",      "t36",      "t37",    "t38", "t39",
    "t40", "t41",  "t42",   "t43",      "t44", "t45",      "t46",      "t47",    "t48", "t49",
    "t50", "t51",  "t52",   "t53",      "t54", "t55",      "t56",      "t57",    "t58", "t59",
    "t60", "t61",  "t62",   "t63"};

enum { SURNAMES = 20, GIVEN = 20 };
_Static_assert(SURNAMES *GIVEN == GEN_NAME_COUNT, "every number is a name");
static const char *const surnames[SURNAMES] = {"王", "李", "张", "刘", "陈", "杨", "黄",
                                               "赵", "吴", "周", "徐", "孙", "马", "朱",
                                               "胡", "郭", "何", "林", "高", "罗"};
static const char *const given[GIVEN] = {"伟", "芳", "娜", "敏", "静", "丽", "强",
                                         "磊", "洋", "艳", "勇", "军", "杰", "娟",
                                         "涛", "超", "明", "霞", "平", "刚"};

void gen_name_text(unsigned number, char out[GEN_NAME_TEXT_MAX])
{
    snprintf(out, GEN_NAME_TEXT_MAX, "%s%s", surnames[number / GIVEN % SURNAMES],
             given[number % GIVEN]);
}
